from __future__ import annotations

import contextlib
import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tests.unit.worker import media_files as media

from dubline.orchestration.domain.errors import (
    ImageTooLargeError,
    ImageTooSmallError,
    MediaTruncatedError,
    NotAnImageError,
)
from dubline.worker.media import image

if TYPE_CHECKING:
    from pathlib import Path

CAP = 64_000_000
#: A brand of AVIF after the list of brands.
VIDEO = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x08avif" + bytes(100)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def huge_png(width: int, height: int) -> bytes:
    """Make a PNG whose header states more pixels than it has."""

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("image_format", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
)
def test_each_format_is_identified_by_its_bytes_and_decoded(
    tmp_path: Path, astronaut: Image.Image, image_format: str, media_type: str
) -> None:
    path = tmp_path / "no-ending"
    path.write_bytes(encoded(astronaut, image_format))
    assert image.identify(media.opened(path)) == media_type
    loaded = image.load(media.opened(path), CAP).picture
    assert loaded.mode == "RGB"
    assert np.abs(np.asarray(loaded).astype(int) - np.asarray(astronaut)).mean() < 4


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"GIF89a" + bytes(100), b"%PDF-1.7" + bytes(100), b"BM" + bytes(99), VIDEO]
)
def test_other_files_are_rejected(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "portrait.png"
    path.write_bytes(data)
    with pytest.raises(NotAnImageError):
        image.load(media.opened(path), CAP)


@pytest.mark.parametrize("size", [(30_000, 30_000), (8_000, 9_000), (2_000_000_000, 2)])
def test_too_many_pixels_are_rejected_before_decoding(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(huge_png(*size))
    with pytest.raises(ImageTooLargeError, match="64 megapixels"):
        image.load(media.opened(path), CAP)


@pytest.mark.parametrize("size", [(1, 1), (47, 400), (400, 47)])
def test_too_few_pixels_are_rejected(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", size).save(path)
    with pytest.raises(ImageTooSmallError, match=f"{size[0]} x {size[1]}"):
        image.load(media.opened(path), CAP)


def test_the_smallest_picture_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "small.png"
    Image.new("RGB", (image.MIN_SIDE_PX, image.MIN_SIDE_PX)).save(path)
    assert image.load(media.opened(path), CAP).picture.size == (image.MIN_SIDE_PX, image.MIN_SIDE_PX)


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.002, 0.3, 0.95])
def test_a_truncated_file_is_rejected(tmp_path: Path, astronaut: Image.Image, image_format: str, share: float) -> None:
    data = encoded(astronaut, image_format)
    path = tmp_path / "cut"
    path.write_bytes(data[: max(20, int(len(data) * share))])
    with pytest.raises(MediaTruncatedError):
        image.load(media.opened(path), CAP)


def test_damaged_data_gives_a_typed_error_or_a_picture(
    tmp_path: Path, astronaut: Image.Image, noise: np.random.Generator
) -> None:
    path = tmp_path / "damaged"
    for image_format in ("PNG", "JPEG", "WEBP", "AVIF"):
        whole = encoded(astronaut.resize((96, 96)), image_format)
        for _ in range(30):
            data = bytearray(whole)
            for place in noise.integers(16, len(data), 12):
                data[place] = noise.integers(256)
            path.write_bytes(data)
            with contextlib.suppress(MediaTruncatedError, ImageTooLargeError, ImageTooSmallError):
                image.load(media.opened(path), CAP)


def test_the_exif_orientation_is_applied(tmp_path: Path, astronaut: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate 90 degrees clockwise
    path = tmp_path / "turned.jpg"
    astronaut.resize((300, 200)).save(path, exif=exif)
    assert image.load(media.opened(path), CAP).picture.size == (200, 300)


def test_transparency_is_blended_over_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (64, 64), (255, 0, 0, 0)).save(path)
    assert image.load(media.opened(path), CAP).picture.getpixel((5, 5)) == (255, 255, 255)


def test_transparent_colours_of_eight_bits_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    pixels = np.zeros((64, 64), np.uint8)
    pixels[:, 32:] = 9
    palette = Image.fromarray(pixels // 9).convert("P")
    palette.putpalette([0, 0, 0, 9, 9, 9])
    for picture, transparency in ((Image.fromarray(pixels), 9), (palette, b"\xff\0")):
        picture.save(path, transparency=transparency)
        loaded = image.load(media.opened(path), CAP).picture
        assert (loaded.getpixel((5, 5)), loaded.getpixel((60, 5))) == ((0,) * 3, (255,) * 3), picture.mode


def test_sixteen_bit_grey_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((64, 64), 0x8000, dtype=np.uint16)).save(path)
    assert image.load(media.opened(path), CAP).picture.getpixel((5, 5)) == (128, 128, 128)


@pytest.mark.parametrize("colours", [1, 3])
def test_a_transparent_colour_of_sixteen_bits_is_that_colour(tmp_path: Path, colours: int) -> None:
    path = tmp_path / "key.png"
    # The lower 8 bits of the transparent colour are the upper ones of the other.
    key, other = (np.full((64, colours), level, ">u2").tobytes() for level in (0x1234, 0x34AA))
    rows = 32 * (b"\0" + key) + 32 * (b"\0" + other)
    header = struct.pack(">IIBBBBB", 64, 64, 16, 2 if colours > 1 else 0, 0, 0, 0)
    named = (b"IHDR", header), (b"tRNS", key[: 2 * colours]), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in named))
    picture = image.load(media.opened(path), CAP).picture
    assert (picture.getpixel((5, 5)), picture.getpixel((5, 60))) == ((255,) * 3, (0x34,) * 3)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK"])
def test_every_colour_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "picture"
    Image.new("RGB", (64, 64), (200, 200, 200)).convert(mode).save(path, "JPEG" if mode == "CMYK" else "PNG")
    assert image.load(media.opened(path), CAP).picture.mode == "RGB"


@pytest.mark.parametrize("mode", ["1", "P", "PA", "RGBA"])
def test_a_reduced_picture_has_mixed_colours_and_its_metadata(astronaut: Image.Image, mode: str) -> None:
    picture = astronaut.convert("P") if mode == "PA" else astronaut
    picture = picture.convert(mode)
    picture.info["icc_profile"] = b"profile"
    smaller = image._reduced(picture, picture.size, 2)
    assert smaller.info["icc_profile"] == b"profile"
    mixed = np.asarray(picture.convert("RGB"), float).reshape(256, 2, 256, 2, 3).mean((1, 3))
    assert np.abs(np.asarray(smaller.convert("RGB")) - mixed).max() <= 1
