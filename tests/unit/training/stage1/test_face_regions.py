"""Fit of face regions to latents and to landmarks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dubline.models.presets import TINY
from dubline.models.stage1.mouth_eye_refiner import DEFAULT_REGIONS
from dubline.training.stage1.face_regions import face_regions
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

PARAMS = replace(TINY.autoencoder, render_px=64, mouth_eye_widths=(8, 16, 16))


def test_face_regions_of_landmarks() -> None:
    landmarks = torch.zeros(1, 68, 2)
    landmarks[:, 36:42, 0], landmarks[:, 42:48, 0] = -0.2, 0.4
    landmarks[:, 48:68, 1] = 0.3
    landmarks[:, 48, 0], landmarks[:, 54, 0] = -0.25, 0.25
    assert face_regions(landmarks)[0].tolist() == pytest.approx([0, 0.3, 0.5, 0.1, 0], abs=1e-6)


def test_framed_landmarks_have_the_initial_face_regions() -> None:
    assert torch.allclose(
        face_regions(torch.from_numpy(FRAMED_LANDMARKS)[None])[0], torch.tensor(DEFAULT_REGIONS), atol=0.06
    )
