"""Synthetic corpus: faces drawn as ellipses whose mouth follows the loudness of a tone."""

from __future__ import annotations

import numpy as np
import pytest

from dubline.training.corpus import Clip


def blob_clip(seed: int, frames: int = 80, size_px: int = 128) -> Clip:
    random = np.random.default_rng(seed)
    opening = np.abs(np.sin(np.arange(frames) / random.uniform(3, 6))).astype(np.float32)
    axis = (np.arange(size_px) * 2 + 1) / size_px - 1
    x, y = np.meshgrid(axis, axis)
    face = (x**2 + (y / 1.3) ** 2 < 0.4)[None]
    mouth = ((x / 0.2) ** 2 + ((y - 0.3)[None] / (0.02 + 0.12 * opening[:, None, None])) ** 2) < 1
    skin = random.uniform(0.4, 1, 3)
    pictures = np.where(mouth[..., None], 0.1, np.where(face[..., None], skin, 0.3))
    landmarks = np.tile(random.uniform(-0.4, 0.4, (68, 2)).astype(np.float32), (frames, 1, 1))
    landmarks[:, 48:68] = np.linspace([-0.2, 0.3], [0.2, 0.3], 20)
    tone = np.sin(2 * np.pi * 220 * np.arange(frames * 640) / 16_000) * np.repeat(opening, 640)
    return Clip(
        name=f"{seed:05}",
        kind="speech",
        heldout=False,
        frames=(pictures * 255).astype(np.uint8),
        speech=(0.3 * tone).astype(np.float32),
        landmarks=landmarks,
        geometry=np.stack([opening, 1 - opening], axis=1),
        aperture_mm=10 * opening,
    )


@pytest.fixture(scope="session")
def clips() -> list[Clip]:
    return [blob_clip(seed) for seed in range(3)]
