from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from dubline.orchestration.domain.errors import MediaTruncatedError, NotAnImageError
from dubline.worker.media import image

CAP = 64_000_000


def encoded(picture: Image.Image, image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, image_format, **options)
    return file.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(image.load(io.BytesIO(data), CAP).picture)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("lost", [1, 2])
def test_a_jpeg_without_its_end_is_whole(astronaut: Image.Image, lost: int, progressive: bool) -> None:
    data = encoded(astronaut, "JPEG", progressive=progressive)
    assert np.array_equal(pixels(data[:-lost]), pixels(data))


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_jpeg_that_lacks_pixels_is_refused(astronaut: Image.Image, share: float) -> None:
    data = encoded(astronaut, "JPEG")
    with pytest.raises(MediaTruncatedError):
        pixels(data[: int(share * len(data))])


def test_a_jpeg_that_lacks_its_last_pixels_only_is_refused(astronaut: Image.Image) -> None:
    with pytest.raises(MediaTruncatedError):
        pixels(encoded(astronaut, "JPEG")[:-12])


def test_a_jpeg_that_ends_within_an_escaped_byte_is_refused(astronaut: Image.Image) -> None:
    data = encoded(astronaut, "JPEG")
    with pytest.raises(MediaTruncatedError):
        pixels(data[: data.index(b"\xff\0", len(data) // 2) + 1])


def test_bytes_after_the_end_change_nothing(astronaut: Image.Image) -> None:
    for name in ("JPEG", "PNG", "WEBP"):
        data = encoded(astronaut, name)
        assert np.array_equal(pixels(data + b"more" * 1000), pixels(data)), name


def test_a_png_without_its_last_chunk_is_whole(astronaut: Image.Image) -> None:
    data = encoded(astronaut, "PNG")
    assert np.array_equal(pixels(data[:-12]), np.asarray(astronaut))


@pytest.mark.parametrize("name", ["tEXt", "zTXt", "iTXt", "iTXt packed"])
@pytest.mark.parametrize("size", [1_500_000, 25_000_000])
def test_a_png_with_much_text_is_accepted(astronaut: Image.Image, name: str, size: int) -> None:
    head, pack = {
        "tEXt": (b"prompt\0", bytes),
        "zTXt": (b"prompt\0\0", zlib.compress),
        "iTXt": (b"prompt\0\0\0\0\0", bytes),
        "iTXt packed": (b"prompt\0\1\0\0\0", zlib.compress),
    }[name]
    text = chunk(name[:4].encode(), head + pack(b"x" * size))
    small = astronaut.crop((160, 60, 288, 188))
    png = encoded(small, "PNG")
    for at in (33, len(png) - 12):
        # More than the decoder unpacks of one picture.
        assert np.array_equal(pixels(png[:at] + 3 * text + png[at:]), np.asarray(small))


def test_a_short_text_with_the_orientation_is_kept(astronaut: Image.Image) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    size = image.load(io.BytesIO(encoded(astronaut.crop((0, 0, 100, 60)), "PNG", pnginfo=info)), CAP).picture.size
    assert size == (60, 100)


def test_a_profile_that_unpacks_to_much_is_left_out(astronaut: Image.Image) -> None:
    png = encoded(astronaut, "PNG")
    bomb = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))
    assert np.array_equal(pixels(png[:33] + bomb + png[33:]), np.asarray(astronaut))


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1", b"hevc"])
def test_heic_is_named(brand: bytes) -> None:
    head = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic"
    with pytest.raises(NotAnImageError, match=r"HEIC picture, .* Export it as JPEG"):
        pixels(head + bytes(1000))


def test_a_portrait_that_is_much_too_large_is_reduced_as_it_is_decoded(astronaut: Image.Image) -> None:
    large = astronaut.resize((6144, 8160), Image.Resampling.NEAREST)
    exif = Image.Exif()
    exif[0x0112] = 6
    loaded = image.load(io.BytesIO(encoded(large, "JPEG", quality=60, exif=exif)), CAP)
    assert (loaded.width_px, loaded.height_px) == (8160, 6144)
    assert loaded.picture.size == (4080, 3072)


def test_avif_is_decoded_and_a_truncated_one_refused(astronaut: Image.Image) -> None:
    small = astronaut.crop((128, 0, 384, 256))
    assert np.abs(pixels(encoded(small, "AVIF", quality=90)).astype(int) - np.asarray(small)).mean() < 3
    with pytest.raises(MediaTruncatedError):
        pixels(encoded(small, "AVIF")[:2000])
