from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
import torch

from dubline.framing.crop import Square
from dubline.models.stage1.autoencoder import Fields
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.worker.rendering import colour_frame
from dubline.worker.rendering.colour_frame import ColourFrame
from dubline.worker.rendering.full_size.compositor import Compositor
from dubline.worker.rendering.full_size.planes import MATRIX

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

LUMA = np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture
def face(astronaut: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(astronaut.convert("RGB").crop((150, 20, 310, 180)))


def as_pixels(values: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def generated(colours: ColourFrame, rgb: NDArray[np.floating]) -> NDArray[np.float64]:
    """Convert generated RGB (..., 3) to luma and chroma of the source."""
    matrix = colours.to_source()
    return rgb @ matrix[:, :3].T + matrix[:, 3]


def planes_of(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    return pixels.astype(np.float64) @ MATRIX[:, :3].T + MATRIX[:, 3]


def test_an_ordinary_portrait_keeps_its_colours(face: NDArray[np.uint8]) -> None:
    colours = ColourFrame.of(face)
    assert colours.normalised(face) is face
    assert np.allclose(colours.to_source(), MATRIX, atol=1e-4)


def test_only_the_face_in_a_crop_is_measured(face: NDArray[np.uint8]) -> None:
    other = np.full_like(face, (0, 255, 0))
    rows, columns = (slice(*(round(share * len(face)) for share in part)) for part in colour_frame.FACE)
    other[rows, columns] = face[rows, columns]
    assert ColourFrame.of(other) == ColourFrame.of(face)


def test_skin_is_never_bluer_than_grey(face: NDArray[np.uint8]) -> None:
    assert ColourFrame.of(face).skin[1] < 0
    assert ColourFrame.of(face[..., ::-1].copy()).skin[1] == 0


def test_a_grey_portrait_gets_no_colour(face: NDArray[np.uint8], noise: np.random.Generator) -> None:
    grey = as_pixels(np.repeat((face @ LUMA)[..., None], 3, -1))
    seen = generated(ColourFrame.of(grey), noise.uniform(0, 255, (100, 3)))
    assert np.abs(seen[:, 1:] - 128).max() < 0.5
    assert seen[:, 0].std() > 20


def test_a_sepia_portrait_stays_sepia(face: NDArray[np.uint8], noise: np.random.Generator) -> None:
    def sepia(light: NDArray[np.floating]) -> NDArray[np.floating]:
        return light[..., None] * (0.9, 0.75, 0.55) + (20, 12, 0)

    colours = ColourFrame.of(as_pixels(sepia(face @ LUMA)))
    seen = generated(colours, noise.uniform(30, 220, (100, 3)))
    tones = planes_of(as_pixels(sepia(np.linspace(0, 255, 256))))
    for channel in (1, 2):
        expected = np.interp(seen[:, 0], tones[:, 0], tones[:, channel])
        assert np.abs(seen[:, channel] - expected).max() < 4


@pytest.mark.parametrize("light", [(0.3, 0.3, 0.3), (0.5, 0.7, 1.0), (1.0, 0.55, 0.4), (0.2, 0.3, 0.4)])
def test_dim_or_coloured_light_is_removed_and_restored(
    face: NDArray[np.uint8], light: tuple[float, float, float]
) -> None:
    lit = as_pixels(face * np.array(light))
    colours = ColourFrame.of(lit)
    seen = colours.normalised(lit)
    assert np.abs(seen.astype(int) - lit).mean() > 3
    inside = ((seen > 0) & (seen < 255)).all(axis=-1)
    assert np.abs(generated(colours, seen.astype(np.float64)) - planes_of(lit))[inside].max() < 1.5


@pytest.mark.parametrize("light", [(1.0, 1.0, 1.0), (0.3, 0.4, 0.5)])
def test_a_large_face_is_measured_from_a_part_of_its_pixels(
    face: NDArray[np.uint8], light: tuple[float, float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = as_pixels(cv2.resize(face, (1648, 1648), interpolation=cv2.INTER_CUBIC) * np.array(light))
    measured, percentile = [], np.percentile
    monkeypatch.setattr(np, "percentile", lambda values, *of: measured.append(len(values)) or percentile(values, *of))
    part = ColourFrame.of(large)
    assert max(measured) <= colour_frame.MEASURED_PX**2
    monkeypatch.setattr(colour_frame, "MEASURED_PX", 2000)
    whole = ColourFrame.of(large)
    assert max(measured) > 4 * colour_frame.MEASURED_PX**2 / 25
    # Colours that differ by less than half a level; 50 dB are .8 levels.
    assert np.abs(part.to_source() @ (255, 255, 255, 1) - whole.to_source() @ (255, 255, 255, 1)).max() < 0.5
    assert np.abs(np.subtract(part.luma, whole.luma)).max() < 1
    assert part.freedom == pytest.approx(whole.freedom, abs=0.01)


def test_bands_of_rows_are_normalised_as_the_whole(noise: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    crop, colours = noise.integers(0, 256, (272, 272, 3), dtype=np.uint8), ColourFrame(gain=0.6, tint=(0.1, -0.05))
    bands = colours.normalised(crop)
    monkeypatch.setattr(colour_frame, "BAND_ROWS", 272)
    assert np.array_equal(bands, colours.normalised(crop))


def test_generated_pixels_are_as_bright_as_the_face_at_most(face: NDArray[np.uint8]) -> None:
    dim = as_pixels(face * 0.3)
    white = GeneratedPixels(torch.ones(1, 3, 128, 128), torch.ones(1, 1, 128, 128))
    made = Compositor(dim, Square(0, 0, 96), torch.device("cpu"), ColourFrame.of(dim))
    (frame,) = made.frames([made.enlarge(Fields(torch.zeros(1, 2, 64, 64), white))])
    assert frame[:96, :96].max() <= 1.02 * planes_of(dim)[..., 0].max()


def shown(colours: ColourFrame, rgb: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return luma and chroma of one frame in which every pixel is generated."""
    still = np.zeros((128, 128, 3), np.uint8)
    compositor = Compositor(still, Square(0, 0, 128), torch.device("cpu"), colours)
    colour = (torch.tensor(rgb) / 127.5 - 1)[None, :, None, None].expand(1, 3, 64, 64)
    fields = Fields(torch.zeros(1, 2, 16, 16), GeneratedPixels(colour, torch.ones(1, 1, 64, 64)))
    (made,) = compositor.frames([compositor.enlarge(fields)])
    return np.array([made[64, 64], *made[128:].reshape(2, 64, 64)[:, 32, 32]], np.float64)


def test_the_inside_of_a_mouth_is_red_and_not_purple(face: NDArray[np.uint8]) -> None:
    colours = ColourFrame.of(face)
    _, blue, red = shown(replace(colours, luma=(0, 255)), (40, 4, 30))
    assert planes_of(np.array([[40, 4, 30]], np.uint8))[0, 1] > 132
    assert blue <= 128
    assert red > 132


def test_a_mouth_in_blue_light_may_be_blue(face: NDArray[np.uint8]) -> None:
    colours = replace(ColourFrame.of(face), luma=(0, 255), skin=(100.0, 0.0))
    assert np.abs(shown(colours, (40, 4, 30)) - planes_of(np.array([[40, 4, 30]], np.uint8))[0]).max() <= 2


@pytest.mark.parametrize("rgb", [(200, 110, 130), (225, 220, 218), (40, 10, 4)])
def test_lips_teeth_and_red_shade_keep_their_colour(face: NDArray[np.uint8], rgb: tuple[int, int, int]) -> None:
    colours = replace(ColourFrame.of(face), luma=(0, 255))
    assert np.abs(shown(colours, rgb) - planes_of(np.array([rgb], np.uint8))[0]).max() <= 2
