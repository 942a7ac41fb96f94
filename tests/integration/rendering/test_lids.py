"""Lids of given photographs shut to a line, in the light of the skin. Skipped without the pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest
import torch
from tests.integration.rendering.pictures import CPU, prepared

from dubline.framing import points
from dubline.models.motion.lids import shut_lids
from dubline.models.weights import Networks, load_networks

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    found = {path.stem: shut(networks, path) for path in sorted(PHOTOS.glob("*.jpg"))}
    for name, made in found.items():
        if made is not None:
            thickness, light = lines(*made)
            assert thickness <= 0.08, name
            assert light <= 0.65, name
    # Eyes that cannot be shut stay open.
    assert sum(made is None for made in found.values()) <= 1
