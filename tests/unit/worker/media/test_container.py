from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from tests.unit.worker import media_files as media

from dubline.worker.media import container

if TYPE_CHECKING:
    from pathlib import Path

CODECS = {
    "wav": (container.WAV, ()),
    "mp3": (container.MP3, ()),
    "flac": (container.FLAC, ()),
    "ogg": (container.OGG, ("-c:a", "libvorbis")),
    "opus": (container.OGG, ("-f", "ogg")),
    "m4a": (container.M4A, ()),
    "aac": (container.AAC, ()),
    "webm": (container.WEBM, ()),
}


@pytest.mark.parametrize("suffix", CODECS)
def test_each_container_is_identified_by_its_bytes(tmp_path: Path, speech_file: Path, suffix: str) -> None:
    expected, options = CODECS[suffix]
    path = media.convert(speech_file, tmp_path / f"made.{suffix}", *options)
    with path.open("rb") as file:
        assert container.recognise(file) is expected


@pytest.mark.parametrize("suffix", CODECS)
def test_tags_are_skipped(speech_file: Path, tmp_path: Path, suffix: str) -> None:
    expected, options = CODECS[suffix]
    made = media.convert(speech_file, tmp_path / f"made.{suffix}", *options).read_bytes()
    assert container.recognise(io.BytesIO(media.tagged(media.tagged(made, 20), 500_000))) is expected


def test_a_gap_after_a_tag_means_mp3() -> None:
    assert container.recognise(io.BytesIO(media.tagged(bytes(100)))) is container.MP3


@pytest.mark.parametrize("data", [b"", b"ID3", b"I" * 64, b"a letter"])
def test_other_or_fewer_bytes_are_no_container(data: bytes) -> None:
    assert container.recognise(io.BytesIO(data)) is None


def test_an_mp3_without_a_tag_is_identified_by_its_frame(tmp_path: Path, speech_file: Path) -> None:
    path = media.convert(speech_file, tmp_path / "bare.mp3", "-id3v2_version", "0", "-write_xing", "0")
    assert container.sniff(path.read_bytes()[:64]) is container.MP3


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"RIFF\0\0\0\0AVI ",
        b"\x89PNG\r\n\x1a\n",
        b"#EXTM3U\nhttp://example.com/",
        b"\xff\xd8\xff\xe0" + bytes(60),
        b"\xff" * 64,
        b"ffconcat version 1.0",
        b"<svg>",
    ],
)
def test_other_magic_bytes_are_no_container(head: bytes) -> None:
    assert container.sniff(head) is None


def test_every_container_may_be_declared_by_its_media_type() -> None:
    assert all(known.media_type in known.declared_as for known in container.CONTAINERS)
