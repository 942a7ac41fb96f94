"""Synthetic corpus: faces drawn as ellipses whose mouth follows the loudness of a tone."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from dubline.models.presets import TINY, DiffusionParams, Preset
from dubline.training.corpus import Clip
from dubline.training.stage1 import face_regions, latent_alignment, probe_fitting

#: TINY with few channels, for tests of training runs: a step takes a tenth of the time.
NARROW: Final = replace(
    TINY,
    autoencoder=replace(
        TINY.autoencoder,
        plane_channels=8,
        regions=4,
        encoder_widths=(8, 16, 16, 24, 32),
        deviation_width=24,
        deviation_layers=1,
        field_widths=(24, 16, 16),
        decoder_widths=(16, 16),
    ),
)
#: NARROW with a mouth-eye refinement network.
REFINED: Final[Preset] = replace(
    NARROW, autoencoder=replace(NARROW.autoencoder, render_px=64, mouth_eye_widths=(8, 16, 16))
)
#: NARROW with a small denoiser and few sampling steps.
SMALL: Final = replace(
    NARROW,
    diffusion=DiffusionParams(
        whitened=16,
        width=48,
        layers=2,
        heads=2,
        audio_width=32,
        audio_layers=1,
        style=8,
        state=16,
        head_width=16,
        steps=2,
    ),
)


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


@pytest.fixture
def _few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit linear maps to as few frames as give a usable fit on blobs."""
    monkeypatch.setattr(latent_alignment, "FRAMES", 168)
    monkeypatch.setattr(face_regions, "SOURCES", 96)
    monkeypatch.setattr(probe_fitting, "FRAMES", 720)
