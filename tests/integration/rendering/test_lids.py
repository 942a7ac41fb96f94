"""Lids of given photographs shut to a line, in the light of the skin. Skipped without the pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import pytest
import torch
from tests.integration.rendering.pictures import CPU, prepared

from dubline.framing import face, points
from dubline.models.motion.lids import shut_lids
from dubline.models.stage1.mouth_eye_refiner import BOXES
from dubline.models.weights import Networks, load_networks
from dubline.worker.rendering import local_contrast
from dubline.worker.rendering.portrait import prepare

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

PHOTOS = Path(os.environ.get("DUBLINE_TEST_PHOTOS", "-"))
#: Lids and the skin above and below them: first and last row, in distances of the eyes from the middle of an eye.
LIDS: Final = (-0.12, 0.22)
SKIN: Final = ((-0.12, -0.02), (0.22, 0.34))
#: Half the width of what is measured.
BESIDE: Final = 0.2
#: Luma of the darkest skin, of which a pixel of the lash line has less.
DARK: Final = 0.6


@pytest.fixture(scope="module")
def networks() -> Networks:
    return load_networks("base", CPU)


@torch.inference_mode()
def shut(networks: Networks, path: Path) -> tuple[NDArray[np.float64], NDArray[np.float32]] | None:
    """Return the luma of a picture with shut lids and the middles of its eyes; None: it does not blink."""
    still, found, portrait = prepared(networks, path)
    source = portrait.source.source
    if not networks.can_blink(source):
        return None
    motion = shut_lids(source.motion, networks.diffusion.whitening, networks.readout)
    fields = networks.autoencoder.fields(source, motion, networks.open_lids(source, motion))
    (made,) = portrait.compositor.frames([portrait.compositor.enlarge(fields)])
    return made[: still.shape[0]].astype(float) - 16, points.read(still, found).points[:2]


def lines(luma: NDArray[np.float64], eyes: NDArray[np.float32]) -> tuple[float, float]:
    """Measure the lash line of the eye in which it is worse.

    Returns:
        Its thickness in distances of the eyes, that of the thicker quarter of its columns; and its luma over the
        skin's.
    """
    distance = float(np.hypot(*(eyes[1] - eyes[0])))
    measured = []
    for x, y in eyes:
        columns = slice(round(x - BESIDE * distance), round(x + BESIDE * distance))
        lids, above, below = (
            luma[round(y + first * distance) : round(y + last * distance), columns] for first, last in (LIDS, *SKIN)
        )
        skin = min(np.median(above), np.median(below))
        runs = ["".join("x" if dark else " " for dark in column).split() for column in (lids < DARK * skin).T]
        thickness = np.percentile([max(map(len, found), default=0) for found in runs], 75) / distance
        measured.append((float(thickness), float(np.mean(lids.min(axis=0)) / skin)))
    return max(thick for thick, _ in measured), max(light for _, light in measured)


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="DUBLINE_TEST_PHOTOS does not name a folder of photographs")
def test_shut_lids_of_every_photograph_end_in_a_thin_dark_line(networks: Networks) -> None:
    for path in sorted(PHOTOS.glob("*.jpg")):
        made = shut(networks, path)
        assert made is not None, path
        thickness, light = lines(*made)
        assert thickness <= 0.08, path
        assert light <= 0.65, path


@torch.inference_mode()
def test_lids_of_a_face_with_hard_contrast_shut_further_if_it_is_reduced(
    networks: Networks, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, found = np.asarray(astronaut.convert("RGB")).astype(np.float32), face.find(astronaut)
    assert found is not None
    around = cv2.GaussianBlur(pixels, (0, 0), 8)
    hard = np.clip(around + 5 * (pixels - around), 0, 255).astype(np.uint8)

    def covered() -> float:
        """Return the occlusion of the eye that is covered less."""
        source = prepare(networks, hard, found, 0.0, CPU).source.source
        motion = shut_lids(source.motion, networks.diffusion.whitening, networks.readout)
        occlusion = networks.autoencoder.fields(source, motion, networks.open_lids(source, motion)).generated.occlusion
        rows, columns = BOXES["eyes"].slices(occlusion.shape[-1])
        means = torch.nn.functional.avg_pool2d(occlusion[..., rows, columns], 9, 1)
        return min(float(half.max()) for half in means.chunk(2, dim=-1))

    reduced = covered()
    monkeypatch.setattr(local_contrast, "MOST", np.inf)
    assert reduced > covered() + 0.1
