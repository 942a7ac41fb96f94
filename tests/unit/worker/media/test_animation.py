from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from dubline.worker.media import animation, image

FORMATS = ("WEBP", "PNG", "AVIF")


def loaded(pictures: list[Image.Image], image_format: str) -> np.ndarray:
    file = io.BytesIO()
    pictures[0].save(file, image_format, save_all=True, append_images=pictures[1:], duration=40)
    return np.asarray(image.load(file, 10**6).picture).astype(int)


@pytest.fixture
def face(astronaut: Image.Image) -> Image.Image:
    return astronaut.resize((128, 128))


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("start", ["black", "white"])
def test_an_animation_that_fades_in_gives_a_later_picture(face: Image.Image, image_format: str, start: str) -> None:
    empty = Image.new("RGB", face.size, start)
    fading = [Image.blend(empty, face, share) for share in (0, 0.3, 0.6, 1)]
    assert np.abs(loaded(fading, image_format) - np.asarray(face)).mean() < 8


@pytest.mark.parametrize("image_format", FORMATS)
def test_other_animations_give_their_first_picture(face: Image.Image, image_format: str) -> None:
    turned = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert np.abs(loaded([face, turned], image_format) - np.asarray(face)).mean() < 8


@pytest.mark.parametrize("image_format", FORMATS)
def test_a_later_picture_of_little_more_contrast_is_not_used(face: Image.Image, image_format: str) -> None:
    turned = ImageEnhance.Contrast(face.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    pictures = [ImageEnhance.Contrast(face).enhance(0.7), turned.enhance(0.8)]
    assert np.abs(loaded(pictures, image_format) - np.asarray(pictures[0])).mean() < 8


def test_further_pictures_of_a_photograph_are_not_used(face: Image.Image) -> None:
    faint, harsh = (ImageEnhance.Contrast(face).enhance(factor) for factor in (0.3, 1.5))
    file = io.BytesIO()
    faint.save(file, "MPO", save_all=True, append_images=[harsh])
    assert np.abs(np.asarray(image.load(file, 10**6).picture).astype(int) - np.asarray(faint)).mean() < 4


def test_a_long_animation_is_searched_in_its_beginning_only(face: Image.Image) -> None:
    black = Image.new("RGB", face.size)
    shades = [Image.new("RGB", face.size, (level % 2 * 255,) * 3) for level in range(animation.COMPARED + 4)]
    assert loaded([black, *shades[1:], face], "WEBP").std() < 1
