from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from tests.unit.worker.media import colour_profiles as profiles

from dubline.worker.media import colour, image

SPACES = {"adobe": profiles.ADOBE, "prophoto": profiles.PROPHOTO, "p3": profiles.P3}


def patches(alpha: bool = False) -> Image.Image:
    """Make a picture of skin, lip, hair, leaf and sky colours."""
    colours = [(205, 160, 135), (170, 90, 90), (60, 45, 40), (90, 140, 60), (120, 160, 200), (128, 128, 128)]
    pixels = np.repeat(np.repeat(np.array([colours], np.uint8), 64, 0), 16, 1)
    picture = Image.fromarray(pixels)
    if alpha:
        picture.putalpha(255)
    return picture


def loaded(picture: Image.Image, image_format: str, profile: bytes) -> np.ndarray:
    file = io.BytesIO()
    options = {"quality": 100, "subsampling": 0} if image_format == "JPEG" else {}
    picture.save(file, image_format, icc_profile=profile, **options)
    return np.asarray(image.load(file, 10**6).picture).astype(float)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("space", SPACES)
def test_wide_colours_are_converted_to_srgb(space: str, alpha: bool) -> None:
    picture = patches(alpha)
    right = profiles.to_srgb(np.asarray(picture.convert("RGB")).astype(float), *SPACES[space])
    converted = loaded(picture, "PNG", profiles.rgb(*SPACES[space]))
    assert np.abs(converted - right).mean() <= 2.5
    assert np.abs(np.asarray(picture.convert("RGB")) - right).mean() > 4


def test_a_palette_and_a_jpeg_are_converted_too() -> None:
    picture = patches()
    right = profiles.to_srgb(np.asarray(picture).astype(float), *profiles.ADOBE)
    for made, name in ((picture, "JPEG"), (picture.convert("P", palette=Image.Palette.ADAPTIVE), "PNG")):
        assert np.abs(loaded(made, name, profiles.rgb(*profiles.ADOBE)) - right).mean() <= 2.5


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP"])
def test_a_picture_with_a_profile_is_upright_too(name: str) -> None:
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    patches().save(file, name, exif=exif, icc_profile=profiles.rgb(*profiles.P3))
    width, height = patches().size
    assert image.load(file, 10**6).picture.size == (height, width)


def test_srgb_pixels_stay_as_they_are() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(loaded(patches(), "PNG", profile), np.asarray(patches()))


@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_with_a_profile_is_converted(mode: str) -> None:
    picture = Image.new("L", (64, 64), 100)
    if mode == "I;16":
        picture = Image.fromarray(np.full((64, 64), 100 * 257, np.uint16))
    right = profiles.to_srgb(np.full(3, 100.0), profiles.SRGB_D50, 1.8)
    converted = loaded(picture.convert(mode) if mode == "LA" else picture, "PNG", profiles.grey(1.8))
    assert np.abs(converted - right).max() <= 2.5
    assert right[0] > 105


def test_ink_is_converted_by_its_profile() -> None:
    picture = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    # Full cyan has a lightness of 50 in this press: the grey 119.
    assert np.abs(loaded(picture, "JPEG", profiles.ink()) - 119).max() <= 3


def test_the_paper_of_a_print_is_white() -> None:
    paper = Image.new("CMYK", (64, 64), (0, 0, 0, 0))
    assert loaded(paper, "JPEG", profiles.ink(paper=(0.9, 0.9, 0.6))).min() >= 253


@pytest.mark.parametrize(
    "profile",
    {
        "text": b"no profile at all",
        "half": profiles.rgb(*profiles.ADOBE)[:200],
        "of ink": profiles.ink(),
        "of grey": profiles.grey(1.8),
        "with a count of tags that it has not": profiles.rgb(*profiles.ADOBE)[:128] + b"\xff" * 300,
        "too long": profiles.rgb(*profiles.ADOBE) + bytes(colour.PROFILE_BYTES),
    }.values(),
)
def test_a_profile_that_cannot_be_used_is_ignored(profile: bytes) -> None:
    for name in ("PNG", "WEBP") if len(profile) > 60_000 else ("PNG", "JPEG", "WEBP"):
        assert np.abs(loaded(patches(), name, profile) - np.asarray(patches())).mean() < 4
