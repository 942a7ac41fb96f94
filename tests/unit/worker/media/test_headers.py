from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.worker import media_files as media

from dubline.worker.media import headers
from dubline.worker.media.container import CONTAINERS, MP3, OGG, WAV, Container

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


@pytest.mark.parametrize(
    ("fields", "states"),
    [((1, 10, 0), True), ((2, 400, 0), False), ((3, 10, 400), True), ((3, 10, 377), True), ((3, 10, 376), False)],
)
def test_a_duration_is_that_of_a_file_as_long_as_stated(fields: tuple[int, ...], states: bool) -> None:
    counted = b"Xing" + b"".join(field.to_bytes(4) for field in fields)
    file = with_name_at(36, counted)
    assert headers.states_duration(file, MP3) is states
    assert headers.states_duration(io.BytesIO(media.tagged(file.getvalue())), MP3) is states


@pytest.mark.parametrize(
    ("size", "missing", "early"),
    [
        (10_000, 512, False),
        (10_000, 513, True),
        (1_000_000, 10_000, False),
        (1_000_000, 10_200, True),
        (100_000, -50, False),
        (100_000, 2_000_000_000, False),
    ],
)
def test_a_wav_that_lacks_more_than_a_chunk_ends_early(size: int, missing: int, early: bool) -> None:
    head = b"RIFF" + (size - 8 + missing).to_bytes(4, "little") + b"WAVE"
    assert headers.ends_early(io.BytesIO(head.ljust(size, b"\0")), WAV) is early


@pytest.mark.parametrize("size", [36, 37])
def test_a_wav_after_a_wav_is_found(size: int) -> None:
    one = (b"RIFF" + size.to_bytes(4, "little") + b"WAVE").ljust(8 + size, b"\0") + bytes(size % 2)
    assert headers.is_concatenated(io.BytesIO(one + one), WAV)
    assert not headers.is_concatenated(io.BytesIO(one + b"LIST"), WAV)


def test_the_last_page_of_an_ogg_is_whole() -> None:
    page = b"OggS".ljust(26, b"\0") + bytes([2, 255, 100]) + bytes(355)
    for data, early in (
        (page, False),
        (page + page, False),
        (page[:-1], True),
        (page + page[:-1], True),
        (page + page[:28], True),
        (page + page[:20], True),
        (bytes(1000), True),
    ):
        assert headers.ends_early(io.BytesIO(data), OGG) is early, len(data)


@pytest.mark.parametrize("container", CONTAINERS, ids=lambda one: one.name)
@given(
    data=st.lists(st.sampled_from([b"Info", b"Xing", b"RIFF", b"WAVE", b"OggS", b"ID3", b"\xff", b"\0"]), max_size=40)
)
def test_any_bytes_of_headers_can_be_read(container: Container, data: list[bytes]) -> None:
    file = io.BytesIO(b"".join(data))
    for reads in (headers.states_duration, headers.ends_early, headers.is_concatenated):
        assert reads(file, container) in {True, False}
