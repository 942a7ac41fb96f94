"""Decoding of an untrusted portrait: format by magic bytes, size limit before decoding, upright RGB without alpha."""

from __future__ import annotations

import struct
import warnings
from typing import BinaryIO, Final

import numpy as np
from PIL import (
    Image,
    ImageColor,
    ImageOps,
    ImagePalette,
    MpoImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from dubline.orchestration.domain.errors import (
    ImageTooLargeError,
    ImageTooSmallError,
    MediaTruncatedError,
    NotAnImageError,
)
from dubline.worker.media import image_size

# Pillow imports these when they are first needed, and the sandbox allows no import.
Image.preinit()
_PRELOADED: Final = (ImageColor, ImagePalette, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)

MEDIA_TYPES: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
#: A smaller portrait cannot contain a face of the size that the networks need.
MIN_SIDE_PX: Final = 48
SNIFF_BYTES: Final = 64


def sniff(head: bytes) -> str | None:
    """Identify an image format by its magic bytes.

    Args:
        head: the first bytes of the file, at least 12.

    Returns:
        "PNG", "JPEG", "WEBP", or None for anything else.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return None


def identify(file: BinaryIO) -> str:
    """Return the media type of an image file, identified by its first bytes.

    Raises:
        NotAnImageError: no accepted format.
    """
    return MEDIA_TYPES[_format(file)]


def load(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Decode a portrait to upright RGB.

    Args:
        file: a PNG, JPEG or WebP file.
        max_pixels: largest accepted product of width and height.

    Returns:
        An RGB image in its EXIF orientation, transparency blended over white.

    Raises:
        NotAnImageError: no accepted format.
        ImageTooLargeError: more than `max_pixels` pixels; nothing was decoded.
        ImageTooSmallError: a side is below `MIN_SIDE_PX`.
        MediaTruncatedError: the file ends early or is damaged.
    """
    image_format = _format(file)
    stated = image_size.stated(file, image_format)
    if stated is not None:
        _check_pixels(*stated, max_pixels)
    file.seek(0)
    try:
        with warnings.catch_warnings():
            # `max_pixels` is the stricter limit and has an error code.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=(image_format,)) as image:
                _check_size(image, max_pixels)
                image.load()
                return _flatten(_upright(image))
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"The portrait is huge. {_limit_sentence(max_pixels)}") from error
    except UnidentifiedImageError as error:
        raise MediaTruncatedError(_damaged_sentence(image_format)) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise MediaTruncatedError(_damaged_sentence(image_format)) from error


def _format(file: BinaryIO) -> str:
    file.seek(0)
    image_format = sniff(file.read(SNIFF_BYTES))
    file.seek(0)
    if image_format is None:
        raise NotAnImageError
    return image_format


def _check_pixels(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise ImageTooLargeError(f"The portrait is {width} x {height} px. {_limit_sentence(max_pixels)}")


def _check_size(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    _check_pixels(width, height, max_pixels)
    if min(width, height) < MIN_SIDE_PX:
        raise ImageTooSmallError(
            f"The portrait is {width} x {height} px, but each side needs {MIN_SIDE_PX} px or more. "
            "Send a larger picture."
        )


def _limit_sentence(max_pixels: int) -> str:
    return f"At most {max_pixels / 1e6:g} megapixels are accepted. Scale it down and send it again."


def _damaged_sentence(image_format: str) -> str:
    return f"The {image_format} data ends early or is damaged. Upload the whole file again."


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, ZeroDivisionError, struct.error):
        # An image with damaged metadata is accepted as it is stored.
        return image


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16-bit grey to white instead of scaling it.
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    page = Image.new("RGBA", layer.size, "white")
    page.alpha_composite(layer)
    return page.convert("RGB")
