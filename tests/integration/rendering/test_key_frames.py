"""About half of the frames are computed, all of fast lips among them; the others are close to computed ones."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from dubline.framing.face import find
from dubline.models.motion.key_frames import KeyFrames
from dubline.models.motion.readout import LIPS
from dubline.models.sampling import sample_motion
from dubline.models.weights import load_networks
from dubline.training.corpus import read_speech
from dubline.worker.rendering.portrait import prepare

if TYPE_CHECKING:
    from PIL import Image

SPEECH = Path(__file__).parents[3] / "demo" / "speech"
FRAMES, BATCH = 36, 12


@pytest.mark.parametrize(("preset", "most_computed"), [("tiny", 0.6), ("base", 0.75)])
@torch.inference_mode()
def test_combined_frames_are_close_to_computed_ones(
    preset: str, most_computed: float, astronaut: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = load_networks(preset, torch.device("cpu"))
    face = find(astronaut)
    assert face is not None
    portrait = prepare(networks, np.asarray(astronaut), face, 0.0, torch.device("cpu"))
    source, speech = portrait.source.source, read_speech(min(SPEECH.glob("*.*")), FRAMES / 25)
    motion = torch.cat(list(sample_motion(networks, source, lambda: iter([speech]), FRAMES, 0))).float()
    computed, fields = [], networks.autoencoder.fields
    monkeypatch.setattr(
        networks.autoencoder, "fields", lambda source, few, lids: computed.append(len(few)) or fields(source, few, lids)
    )

    def luma(keys: str) -> np.ndarray:
        shown = [portrait.compositor.enlarge(portrait.source.fields_of(one)) for one in motion.split(BATCH)]
        assert len(computed) == FRAMES // BATCH, keys
        return np.concatenate([one.luma for one in shown]).astype(float)

    fewer = luma("chosen")
    assert sum(computed) < most_computed * FRAMES
    computed.clear()
    monkeypatch.setattr(
        type(networks),
        "key_frames",
        lambda _self, few, _closure: KeyFrames([*range(len(few))], np.eye(len(few), dtype=np.float32)),
    )
    every = luma("all")
    assert sum(computed) == FRAMES
    errors = np.square(fewer - every).mean(axis=(1, 2, 3))
    # 43 dB over all frames, 34 dB in the worst one, of the region that moves.
    assert 0 < np.mean(errors) < 255**2 / 10**4.3
    assert errors.max() < 255**2 / 10**3.4


@pytest.mark.parametrize("most_cm", [0.5, math.inf])
@torch.inference_mode()
def test_frames_beside_a_fast_step_of_the_lips_are_computed(most_cm: float) -> None:
    networks = load_networks("tiny", torch.device("cpu"))
    networks = replace(networks, preset=replace(networks.preset, most_lip_step_cm=most_cm))
    still = torch.zeros(1, networks.preset.autoencoder.motion)
    gap = torch.cat([torch.zeros(6), torch.full((6,), 0.6)])
    whitened = networks.diffusion.whitening(still, still) + gap[:, None] * networks.readout.directions()[LIPS]
    keys = networks.key_frames(networks.diffusion.whitening.invert(whitened, still), torch.zeros(12)).frames
    assert ({5, 6} <= set(keys)) == (most_cm < 0.6)
