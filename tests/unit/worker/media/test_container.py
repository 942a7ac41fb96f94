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


def test_the_footer_of_a_tag_is_passed(tmp_path: Path, speech_file: Path) -> None:
    made = media.convert(speech_file, tmp_path / "made.flac").read_bytes()
    tag = media.tagged(b"", 500)
    footer = b"3DI" + tag[3:10]
    assert container.recognise(io.BytesIO(tag[:5] + b"\x10" + tag[6:] + footer + made)) is container.FLAC


@pytest.mark.parametrize(
    ("zeros", "expected"),
    [(1, container.MP3), (60_000, container.MP3), (70_000, None)],
    ids=["few", "many", "too many"],
)
def test_zeros_may_precede_an_mp3_or_its_tag(
    tmp_path: Path, speech_file: Path, zeros: int, expected: container.Container | None
) -> None:
    bare = media.convert(speech_file, tmp_path / "bare.mp3", "-id3v2_version", "0").read_bytes()
    for made in (bare, media.tagged(bare)):
        assert container.recognise(io.BytesIO(bytes(zeros) + made)) is expected


def test_a_wav_of_more_than_four_gigabytes_is_a_wav() -> None:
    assert container.sniff(b"RF64\xff\xff\xff\xffWAVEds64".ljust(64, b"\0")) is container.WAV


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
        # Eleven sync bits, as of MPEG 2.5, which has no AAC.
        b"\xff\xe1".ljust(64, b"\0"),
        b"ffconcat version 1.0",
        b"<svg>",
    ],
)
def test_other_magic_bytes_are_no_container(head: bytes) -> None:
    assert container.sniff(head) is None


def test_every_container_may_be_declared_by_its_media_type() -> None:
    assert all(known.media_type in known.declared_as for known in container.CONTAINERS)
