from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.worker.media import headers
from dubline.worker.media.container import CONTAINERS, MP3, Container

FRAME = b"\xff\xfb\x90\x00".ljust(400, b"\0")
#: All flags, frames, bytes.
COUNTED = (b"Xing" + (3).to_bytes(4) + (10).to_bytes(4) + (400).to_bytes(4)).ljust(20, b"\0")


def with_name_at(at: int, named: bytes = b"Info") -> io.BytesIO:
    return io.BytesIO(FRAME[:at] + named + FRAME[at + len(named) :])


@pytest.mark.parametrize("at", [185, 189, 192, 193, 196, 199, 300])
def test_a_word_at_the_end_of_what_is_read_is_no_header(at: int) -> None:
    assert not headers.states_duration(with_name_at(at), MP3)


@pytest.mark.parametrize("at", [13, 21, 36, 184])
def test_a_header_with_its_counts_states_the_duration(at: int) -> None:
    assert headers.states_duration(with_name_at(at, COUNTED[:16]), MP3)


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda one: one.name)
@given(
    data=st.lists(st.sampled_from([b"Info", b"Xing", b"RIFF", b"WAVE", b"OggS", b"ID3", b"\xff", b"\0"]), max_size=40)
)
def test_any_bytes_of_headers_can_be_read(container: Container, data: list[bytes]) -> None:
    file = io.BytesIO(b"".join(data))
    for reads in (headers.states_duration, headers.ends_early, headers.is_concatenated):
        assert reads(file, container) in {True, False}
