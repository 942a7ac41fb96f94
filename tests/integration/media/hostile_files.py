"""Hostile and odd uploads, generated: each with the kind it is uploaded as and the code that it gets."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import struct
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image
from tests.unit.worker import media_files as media

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIDE = 16_383


class Upload(NamedTuple):
    """One file of the corpus."""

    name: str
    kind: str
    data: bytes
    code: str
    """Error code; empty if the file is accepted."""


def corpus(folder: Path, portrait: Image.Image) -> Iterator[Upload]:
    """Generate all files.

    Args:
        folder: scratch folder.
        portrait: a picture with a face.
    """
    yield from _huge_headers()
    yield from _pictures(portrait.resize((256, 256)))
    yield from _archives()
    yield from _recordings(folder)
    yield from _wav_headers(folder)


def _webp(chunk: bytes, data: bytes) -> bytes:
    body = b"WEBP" + chunk + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _png(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


def _jpeg(marker: int, width: int, height: int, before: bytes = b"") -> bytes:
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\1\x22\0\2\x11\1\3\x11\1"
    return b"\xff\xd8" + before + bytes((0xFF, marker)) + frame


def _huge_headers() -> Iterator[Upload]:
    comment = b"\xff\xfe" + struct.pack(">H", 60_000) + bytes(59_998)
    lossless = 0x2F | (SIDE - 1 | (SIDE - 1) << 14) << 8
    for name, data in {
        "png": _png(SIDE, SIDE),
        "png with a byte": _png(SIDE, SIDE) + b"\0",
        "png without checksum": _png(SIDE, SIDE)[:29],
        "png of 2^31": _png(2**31 - 1, 2**31 - 1),
        "png of one row": _png(2**31 - 1, 1),
        "png of 16 bits": _png(SIDE, SIDE, 16, 6),
        "png with a palette": _png(SIDE, SIDE, 1, 3),
        "jpeg": _jpeg(0xC0, SIDE, SIDE),
        "jpeg progressive": _jpeg(0xC2, 65_535, 65_535),
        "jpeg lossless": _jpeg(0xC3, SIDE, SIDE),
        "jpeg arithmetic": _jpeg(0xC9, SIDE, SIDE),
        "jpeg after comments": _jpeg(0xC0, SIDE, SIDE, 20 * comment),
        "jpeg with fill bytes": _jpeg(0xC0, SIDE, SIDE, b"\xff" * 8),
        "webp extended": _webp(b"VP8X", bytes(4) + (SIDE - 1).to_bytes(3, "little") * 2),
        "webp extended of 2^24": _webp(b"VP8X", bytes(4) + b"\xff" * 6),
        "webp animated": _webp(b"VP8X", b"\2\0\0\0" + (SIDE - 1).to_bytes(3, "little") * 2),
        "webp lossy": _webp(b"VP8 ", b"\x30\1\0\x9d\1\x2a" + struct.pack("<HH", SIDE, SIDE)),
        "webp lossless": _webp(b"VP8L", lossless.to_bytes(5, "little") + b"\0"),
    }.items():
        yield Upload(f"huge {name}", "portrait", data, "image_too_large")


def _pictures(portrait: Image.Image) -> Iterator[Upload]:
    for name in ("PNG", "JPEG", "WEBP"):
        data = _saved(portrait, name)
        yield Upload(f"{name} of a face", "portrait", data, "")
        yield Upload(f"half of a {name}", "portrait", data[: len(data) // 2], "media_truncated")
        yield Upload(f"first bytes of a {name}", "portrait", data[:16], "media_truncated")
        yield Upload(f"{name} with an archive after it", "portrait", data + _zip(b"x"), "")
        yield Upload(f"{name} as speech", "speech", data, "not_audio")
        flat = _saved(Image.new("RGB", (64, 64), "teal"), name)
        yield Upload(f"{name} without a face", "portrait", flat, "no_face")
        yield Upload(f"{name} of a dot", "portrait", _saved(Image.new("RGB", (1, 1)), name), "image_too_small")
    bomb = zlib.compress(bytes(20_000_000))
    data = _png(64, 64) + struct.pack(">I", len(bomb)) + b"IDAT" + bomb + bytes(4)
    yield Upload("PNG with too many pixels in its data", "portrait", data, "no_face")
    text = b"a\0\0" + zlib.compress(bytes(70_000_000))
    chunk = b"zTXt" + text
    sent = struct.pack(">I", len(text)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    yield Upload("PNG with a text bomb", "portrait", _png(200, 200) + sent, "media_truncated")
    yield Upload("empty PNG", "portrait", _png(0, 0), "media_truncated")
    for name in ("GIF", "BMP", "TIFF", "ICO", "PPM"):
        yield Upload(f"{name} picture", "portrait", _saved(portrait.resize((64, 64)), name), "not_an_image")


def _saved(picture: Image.Image, name: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name)
    return buffer.getvalue()


def _zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../etc/passwd", data)
    return buffer.getvalue()


def _tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../x"))
    return buffer.getvalue()


def _archives() -> Iterator[Upload]:
    rows = b"".join(json.dumps({"custom_id": "x", "portrait": "/etc/passwd"}).encode() + b"\n" for _ in range(100))
    for name, data in {
        "zip": _zip(bytes(10_000_000)),
        "gzip": gzip.compress(bytes(10_000_000)),
        "xz": lzma.compress(bytes(1_000_000)),
        "tar": _tar(),
        "pdf": b"%PDF-1.7\n" + bytes(100),
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "ffconcat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "script": b"#!/bin/sh\nid\n",
        "program": b"\x7fELF\2\1\1" + bytes(100),
        "batch file": rows,
        "deep JSON": b"[" * 100_000,
        "html": b"<!doctype html><script>fetch('/')</script>",
        "zeros": bytes(100_000),
    }.items():
        yield Upload(f"{name} as a portrait", "portrait", data, "not_an_image")
        yield Upload(f"{name} as speech", "speech", data, "not_audio")


def _recordings(folder: Path) -> Iterator[Upload]:
    source = media.wav(folder / "source.wav", media.tone(1.6))
    made = {suffix: media.convert(source, folder / f"made.{suffix}").read_bytes() for suffix in ("mp3", "m4a", "aac")}
    for name, data in made.items():
        yield Upload(f"{name} under another ending", "speech", data, "")
        yield Upload(f"{name} with an archive after it", "speech", data + _zip(b"x"), "")
        yield Upload(f"{name} as a portrait", "portrait", data, "not_an_image")
    yield Upload("zeros before an mp3", "speech", bytes(1500) + made["mp3"], "")
    yield Upload("a gap after zeros", "speech", bytes(1500) + b"noise" * 100, "not_audio")
    yield Upload("half of an m4a", "speech", made["m4a"][: len(made["m4a"]) // 2], "media_truncated")
    webm = b"\x1aE\xdf\xa3\x9fB\x86\x81\1B\xf7\x81\1B\xf2\x81\4B\xf3\x81\x08B\x82\x84webm"
    yield Upload("first bytes of a WebM", "speech", webm, "media_truncated")


def _wav_headers(folder: Path) -> Iterator[Upload]:
    whole = media.wav(folder / "whole.wav", media.tone(1.6)).read_bytes()
    for size in (1_000_000_000, 2_000_000_000, 2**31 - 1, 2**32 - 1):
        stated = min(size + 36, 2**32 - 1)
        data = whole[:4] + struct.pack("<I", stated) + whole[8:40] + struct.pack("<I", size) + whole[44:]
        yield Upload(f"wav that states {size} bytes", "speech", data, "")
    yield Upload("half of a wav", "speech", whole[: len(whole) // 2], "media_truncated")
    yield Upload("two wavs", "speech", whole + whole, "not_audio")
    yield Upload("wav of nothing", "speech", whole[:44], "media_truncated")
    yield Upload(
        "wav of silence", "speech", media.wav(folder / "s.wav", np.zeros(16_000)).read_bytes(), "speech_silent"
    )
    short = media.wav(folder / "short.wav", media.tone(0.1)).read_bytes()
    yield Upload("wav of a tenth", "speech", short, "speech_too_short")
    long = media.wav(folder / "long.wav", np.zeros(61 * 4_000), 4_000).read_bytes()
    yield Upload("wav above the limit", "speech", long, "speech_too_long")
    waves = np.stack([media.tone(1.0), -media.tone(1.0)], axis=1)
    opposite = media.wav(folder / "o.wav", np.zeros(16_000), channels=2).read_bytes()[:44]
    yield Upload("channels that cancel", "speech", opposite + (waves * 32767).astype("<i2").tobytes(), "")
