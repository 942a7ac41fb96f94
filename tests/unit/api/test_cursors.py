from __future__ import annotations

import base64
from uuid import UUID

import pytest

from dubline.api import cursors
from dubline.orchestration.domain.errors import InvalidRequestError

BATCH = UUID("0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a11")
OTHER = UUID("0198c2f4-5a51-7c3e-9d7a-0f6d8f0f3a12")


@pytest.mark.parametrize("position", [0, 1, 9_999, 2**31 - 1])
def test_a_cursor_decodes_to_its_position(position: int) -> None:
    assert cursors.decode(BATCH, cursors.encode(BATCH, position)) == position


def test_a_cursor_needs_no_escaping_in_a_url() -> None:
    cursor = cursors.encode(BATCH, 255)
    assert cursor.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "0",
        "!!!!",
        "AAAA",
        "ü" * 12,
        "\x00" * 12,
        "A" * 4_000,
        base64.urlsafe_b64encode(b"\x02" + BATCH.bytes[-4:] + bytes(4)).decode(),
        base64.urlsafe_b64encode(b"\x01" + BATCH.bytes[-4:] + b"\xff" * 4).decode(),
    ],
)
def test_an_invalid_cursor_is_rejected(cursor: str) -> None:
    with pytest.raises(InvalidRequestError, match="cursor"):
        cursors.decode(BATCH, cursor)


def test_a_cursor_of_another_batch_is_rejected() -> None:
    with pytest.raises(InvalidRequestError):
        cursors.decode(BATCH, cursors.encode(OTHER, 3))
