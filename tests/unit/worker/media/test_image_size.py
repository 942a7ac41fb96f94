from __future__ import annotations

import io

import pytest
from PIL import Image

from dubline.worker.media import image_size

SIZE = (301, 202)
OPTIONS: dict[str, list[dict[str, object]]] = {
    "PNG": [{}],
    "JPEG": [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(4000)}],
    "WEBP": [{}, {"lossless": True}, {"exif": b"Exif\0\0" + bytes(4000)}],
}


def encoded(image_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(SIZE).convert("RGB").save(file, image_format, **options)
    return file.getvalue()


def stated(data: bytes, image_format: str) -> tuple[int, int] | None:
    return image_size.stated(io.BytesIO(data), image_format)


@pytest.mark.parametrize("image_format", OPTIONS)
def test_the_stated_size_is_that_of_the_picture(image_format: str) -> None:
    for options in OPTIONS[image_format]:
        assert stated(encoded(image_format, **options), image_format) == SIZE, options


def test_tables_and_fill_bytes_before_the_size_of_a_jpeg_are_passed() -> None:
    data = encoded("JPEG")
    table = data.index(b"\xff\xc4")
    length = 2 + int.from_bytes(data[table + 2 : table + 4], "big")
    for before in (data[table : table + length], b"\xff" * 9):
        assert stated(data[:2] + before + data[2:], "JPEG") == SIZE


def test_a_jpeg_of_many_segments_is_searched_in_its_beginning_only() -> None:
    data = encoded("JPEG")
    assert stated(data[:2] + b"\xff" * 2000 + data[2:], "JPEG") is None
