from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from dubline.worker.rendering import local_contrast
from dubline.worker.rendering.colour_frame import ColourFrame

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

SIDE = 320


@pytest.fixture
def face(astronaut: Image.Image) -> NDArray[np.uint8]:
    return cv2.resize(np.asarray(astronaut.convert("RGB").crop((150, 20, 310, 180))), (SIDE, SIDE))


@pytest.fixture
def engraved(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same face of dark lines, 8 px apart."""
    lines = 40 * np.sign(np.sin(np.arange(SIDE) * 2 * np.pi / 8))[:, None, None]
    return np.clip(face + lines, 0, 255).astype(np.uint8)


def contrast(crop: NDArray[np.uint8], gain: float = 1.0) -> float:
    """Return the contrast that `reduction` measures in a crop."""
    share = local_contrast.reduction(crop, len(crop), gain)
    return local_contrast.ORDINARY / share if share < 1 else 0


def test_the_networks_see_a_face_of_lines_with_ordinary_contrast(
    engraved: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    colours = ColourFrame.of(engraved)
    assert 0.2 < colours.contrast < 0.5
    seen = colours.normalised(engraved)
    monkeypatch.setattr(local_contrast, "MOST", 0.0)
    rows, columns = slice(86, 266), slice(70, 250)
    share = local_contrast.reduction(seen[rows, columns], SIDE, 1.0)
    assert local_contrast.ORDINARY / share == pytest.approx(local_contrast.ORDINARY, rel=0.1)
    # Light and shade stay.
    smooth, expected = (cv2.GaussianBlur(picture, (0, 0), 40).astype(float) for picture in (seen, engraved))
    assert np.abs(smooth - expected)[40:-40, 40:-40].mean() < 3


def test_the_contrast_of_a_face_does_not_depend_on_its_size_or_light(engraved: NDArray[np.uint8]) -> None:
    large = cv2.resize(engraved, (4 * SIDE, 4 * SIDE), interpolation=cv2.INTER_CUBIC)
    assert contrast(large) == pytest.approx(contrast(engraved), rel=0.05)
    dim = (engraved * 0.5).astype(np.uint8)
    assert contrast(dim, 0.5) == pytest.approx(contrast(engraved), rel=0.05)


def test_generated_pixels_are_converted_as_without_lines(face: NDArray[np.uint8], engraved: NDArray[np.uint8]) -> None:
    assert np.allclose(ColourFrame.of(engraved).to_source(), ColourFrame.of(face).to_source(), atol=0.02)
