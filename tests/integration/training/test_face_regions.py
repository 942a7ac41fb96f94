"""Fit of face regions to latents."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from dubline.models.presets import TINY
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.training.stage1.data.pairs import PairSampler
from dubline.training.stage1.face_regions import face_regions, fit_face_regions

if TYPE_CHECKING:
    import pytest

    from dubline.training.corpus import Clip

PARAMS = replace(TINY.autoencoder, render_px=64, mouth_eye_widths=(8, 16, 16))


def test_the_fit_has_less_error_than_the_mean(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubline.training.stage1.face_regions.SOURCES", 360)
    torch.manual_seed(0)
    network, sampler = Autoencoder(PARAMS).eval(), PairSampler(clips, torch.device("cpu"))
    fit_face_regions(network, sampler)
    assert network.mouth_eye_refiner is not None
    sampler.seed(9)
    with torch.inference_mode():
        pairs = sampler.draw(48, 1)
        found = network.mouth_eye_refiner.face_regions(network.encode_motion(pairs.sources))
    # Synthetic landmarks do not match the frames; only the camera's effect can be predicted.
    wanted = face_regions(pairs.source_landmarks)
    assert (found - wanted).square().mean() < 0.5 * (wanted - wanted.mean(0)).square().mean()
