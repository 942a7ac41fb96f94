"""Commands whose output is closed by its reader, as `head` does."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.unit.client.cli.conftest import run

from dubline.client.exit_codes import UNREAD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.client.service import Service

DAY = {"day": "2026-01-31", "preset": "tiny", "jobs": 1, "succeeded": 1, "failed": 0, "cancelled": 0}
USAGE = {"data": [DAY | {"video_s": 1.5, "device_s": 2.5, "size_bytes": 9}]}


@contextmanager
def piped(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Put a pipe in place of standard output; yield the end that reads, which the block closes."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="utf-8")
    with monkeypatch.context() as changed:
        changed.setattr("sys.stdout", stream)
        yield reader
    # It still has what could not be written.
    with suppress(BrokenPipeError):
        stream.close()


@pytest.mark.parametrize("words", [("status", "job-0"), ("cancel", "job-0"), ("usage",), ("usage", "--csv")])
def test_commands_that_print_end_quietly(
    monkeypatch: pytest.MonkeyPatch, service: Service, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    service.jobs["job-0"] = {"id": "job-0", "state": "succeeded"}
    service.faults["GET /v1/usage"] = [httpx2.Response(200, json=USAGE)]
    with piped(monkeypatch) as reader:
        os.close(reader)
        assert run(monkeypatch, *words) == UNREAD
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("method", "is_sent"), [("_create_upload", False), ("_get_batch", True)])
def test_a_batch_is_continued_by_the_next_run(  # noqa: PLR0913 - fixtures and parameters
    monkeypatch: pytest.MonkeyPatch,
    media: Path,
    service: Service,
    capsys: pytest.CaptureFixture[str],
    method: str,
    *,
    is_sent: bool,
) -> None:
    rows = [{"custom_id": name, "portrait": "face.jpg", "speech": "hello.mp3"} for name in ("a", "b")]
    (media / "batch.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ("batch", media / "batch.jsonl", "--out", media / "out")
    respond = getattr(service, method)
    with piped(monkeypatch) as reader:
        closing = [reader]

        def close(*args: Any) -> httpx2.Response:
            while closing:
                os.close(closing.pop())
            return respond(*args)

        monkeypatch.setattr(service, method, close)
        assert run(monkeypatch, *words) == UNREAD
    assert capsys.readouterr().err == ""
    assert len(service.batches) == is_sent
    assert [path.suffix for path in (media / "out").iterdir()] == [".json"]
    assert run(monkeypatch, *words) == 0
    assert sorted(path.name for path in (media / "out").glob("[!.]*")) == ["a.mp4", "b.mp4"]
    assert (len(service.batches), len(service.jobs)) == (1, 2)
