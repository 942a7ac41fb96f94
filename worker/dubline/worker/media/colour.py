"""Conversion of a portrait to sRGB by the colour profile in its file."""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
from PIL import Image, ImageCms

#: Profiles of displays and cameras have kilobytes, those of printing presses up to two megabytes.
PROFILE_BYTES: Final = 4 << 20
#: Largest difference, in levels, of a conversion that is left out because it changes nothing.
UNCHANGED: Final = 1
#: The modes of a picture that a profile of each colour space describes, with and without transparency.
MODES: Final = {"RGB": ("RGB", "RGBA"), "GRAY": ("L", "LA"), "CMYK": ("CMYK", "CMYK")}

_SRGB: Final = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def to_srgb(image: Image.Image) -> Image.Image:
    """Convert a picture to sRGB by its profile.

    Args:
        image: decoded, of 8 bits.

    Returns:
        The converted picture, RGB or RGBA. The picture itself if it has no profile, or one that is too long, damaged,
        for another kind of picture, or equal to sRGB.
    """
    data = image.info.get("icc_profile")
    if not isinstance(data, bytes) or not 0 < len(data) <= PROFILE_BYTES:
        return image
    try:
        return _converted(image, ImageCms.ImageCmsProfile(io.BytesIO(data)))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _converted(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    space = str(profile.profile.xcolor_space).strip()
    plain, transparent = MODES.get(space, ("", ""))
    if not plain or not _may_be(image, plain):
        return image
    described = image.convert(transparent if image.has_transparency_data else plain)
    transform: Any = ImageCms.buildTransform(
        profile,
        _SRGB,
        plain,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if plain == "RGB" and _is_neutral(transform):
        return image
    alpha = described.getchannel("A") if described.mode in {"RGBA", "LA"} else None
    converted: Image.Image = transform.apply(described.convert(plain))
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _may_be(image: Image.Image, plain: str) -> bool:
    """Tell whether a profile for pictures of mode `plain` can belong to a picture."""
    modes = {"RGB": {"RGB", "RGBA", "P", "PA"}, "L": {"1", "L", "LA"}, "CMYK": {"CMYK"}}
    return image.mode in modes[plain]


def _is_neutral(transform: Any) -> bool:
    """Tell whether a transform of RGB changes no colour by more than `UNCHANGED` levels."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    changed = np.asarray(transform.apply(Image.fromarray(colours)))
    return int(np.abs(changed.astype(int) - colours).max()) <= UNCHANGED
