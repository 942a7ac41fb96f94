"""Decoding of an untrusted portrait: format by magic bytes, size limit before decoding, upright sRGB without alpha."""

from __future__ import annotations

import math
import struct
import warnings
from typing import BinaryIO, Final, NamedTuple

import numpy as np
from PIL import (
    AvifImagePlugin,
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
from dubline.orchestration.domain.video_size import scale
from dubline.worker.media import animation, colour, image_size, jpeg_end, png_chunks

# Pillow imports these when they are first needed, and the sandbox allows no import.
Image.preinit()
_PRELOADED: Final = (AvifImagePlugin, ImageColor, ImagePalette, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)
# The sandbox allows no further thread.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

MEDIA_TYPES: Final = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "AVIF": "image/avif"}
#: A smaller portrait cannot contain a face of the size that the networks need.
MIN_SIDE_PX: Final = 48
SNIFF_BYTES: Final = 64
#: A large portrait is decoded with this many times the sides of its video, or more.
SPARE: Final = 1.5
#: Logarithm to the base 2 of the largest reduction; the decoder of JPEG has none beyond.
MAX_REDUCTION: Final = 3

#: Beginning of Pillow's message for an AVIF that its decoder refuses. Other errors of this type are defects.
_AVIF_FAULT: Final = "Failed to decode "
_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
#: Brands of pictures in HEVC, as phones take them, and of the general container of such pictures.
_HEIC_BRANDS: Final = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})


def sniff(head: bytes) -> str | None:
    """Identify an image format by its magic bytes.

    Args:
        head: the first bytes of the file, at least 12.

    Returns:
        "PNG", "JPEG", "WEBP", "AVIF", or None for anything else.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return "AVIF" if _AVIF_BRANDS & _brands(head) else None


def _brands(head: bytes) -> set[bytes]:
    """Return the brands of an ISO media file; empty for other files."""
    if head[4:8] != b"ftyp":
        return set()
    listed = head[8 : min(len(head), int.from_bytes(head[:4], "big"))]
    return {listed[at : at + 4] for at in range(0, len(listed) - 3, 4)}


def identify(file: BinaryIO) -> str:
    """Return the media type of an image file, identified by its first bytes.

    Raises:
        NotAnImageError: no accepted format.
    """
    return MEDIA_TYPES[_format(file)]


class Portrait(NamedTuple):
    """A decoded portrait."""

    picture: Image.Image
    """Upright, RGB in sRGB; smaller than the file states where a video needs much less."""
    width_px: int
    """Width of the upright file."""
    height_px: int
    """Height of the upright file."""


def load(file: BinaryIO, max_pixels: int) -> Portrait:
    """Decode a portrait to upright sRGB.

    Args:
        file: a PNG, JPEG, WebP or AVIF file.
        max_pixels: largest accepted product of width and height.

    Returns:
        The portrait in its EXIF orientation, transparency blended over white, with at least `SPARE` times the pixels of
        its video in each direction.

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
    try:
        with warnings.catch_warnings():
            # `max_pixels` is the stricter limit and has an error code.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _load(file, image_format, max_pixels)
    except Image.DecompressionBombError as error:
        raise ImageTooLargeError(f"The portrait is huge. {_limit_sentence(max_pixels)}") from error
    except UnidentifiedImageError as error:
        raise MediaTruncatedError(_damaged_sentence(image_format)) from error
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise MediaTruncatedError(_damaged_sentence(image_format)) from error
    except RuntimeError as error:
        if not str(error).startswith(_AVIF_FAULT):
            raise
        raise MediaTruncatedError(_damaged_sentence(image_format)) from error


def _load(file: BinaryIO, image_format: str, max_pixels: int) -> Portrait:
    if image_format == "PNG":
        return _decode(png_chunks.readable(file), image_format, max_pixels)
    if image_format != "JPEG":
        return _decode(file, image_format, max_pixels)
    try:
        return _decode(file, image_format, max_pixels)
    except OSError:
        ends = [_decode(ended, image_format, max_pixels) for ended in jpeg_end.ended(file)]
        if len(ends) < 2 or ends[0].picture.tobytes() != ends[1].picture.tobytes():  # noqa: PLR2004 - both ends
            raise
        return ends[0]


def _decode(file: BinaryIO, image_format: str, max_pixels: int) -> Portrait:
    file.seek(0)
    with Image.open(file, formats=(image_format,)) as image:
        _check_size(image, max_pixels)
        size, factor = image.size, _reduction(*image.size)
        if image_format == "JPEG":
            # The decoder computes fewer pixels from the same coefficients, in less time and memory.
            image.draft(image.mode, (size[0] // factor, size[1] // factor))
        animation.select(image)
        image.load()
        picture = _flatten(colour.to_srgb(_upright(_reduced(_eight_bits(image), size, factor))))
    is_turned = (picture.width > picture.height) != (size[0] > size[1])
    return Portrait(picture, *(size[::-1] if is_turned else size))


def _format(file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(SNIFF_BYTES)
    image_format = sniff(head)
    file.seek(0)
    if image_format is None:
        if _HEIC_BRANDS & _brands(head):
            raise NotAnImageError(
                "The portrait is a HEIC picture, as phones store it, which is not accepted. Export it as JPEG "
                "and send that; renaming the file does not convert it."
            )
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


def _reduction(width: int, height: int) -> int:
    """Return the power of two by which a picture can be reduced and still have `SPARE` times its video's sides."""
    spare = 1 / (SPARE * scale(width, height))
    return 1 << max(0, min(MAX_REDUCTION, math.floor(math.log2(spare))))


def _reduced(image: Image.Image, size: tuple[int, int], factor: int) -> Image.Image:
    """Reduce a picture, unless its decoder has done that."""
    if factor == 1 or image.size != size:
        return image
    return (image.convert("RGBA") if image.mode in {"1", "P", "PA"} else image).reduce(factor)


def _eight_bits(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    # Pillow clips 16-bit grey to white instead of scaling it.
    grey = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    grey.info = image.info
    return grey


def _flatten(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    page = Image.new("RGBA", layer.size, "white")
    page.alpha_composite(layer)
    return page.convert("RGB")
