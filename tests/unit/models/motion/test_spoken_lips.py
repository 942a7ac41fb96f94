"""The lip gap of sampled motion is what speech determines; the rest of the motion is free."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from tests.unit.models.test_sampling import babble

from dubline.models import sampling
from dubline.models.motion.readout import LIPS, READINGS, LinearReadout
from dubline.models.motion.spoken_lips import SpokenLips
from dubline.models.sampling import sample_motion
from dubline.options.render import MotionControls

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.stage1.autoencoder import Source
    from dubline.models.weights import Networks

SIZE, WIDTH = 12, 3
FREE = MotionControls(shut_in_silence=0, blink=0)


def readout_of(*spoken: float) -> LinearReadout:
    torch.manual_seed(0)
    readout = LinearReadout(SIZE, WIDTH)
    readout.weight.normal_()
    readout.spoken_gap.copy_(torch.tensor(spoken))
    return readout


def test_noisy_motion_is_held_on_its_path_to_the_gap() -> None:
    readout = readout_of(1.0, 0.0, 0.0, 0.5)
    source, articulation, motion = torch.randn(SIZE), torch.randn(1, 5, WIDTH), torch.randn(1, 5, SIZE)
    hold = SpokenLips(readout, source, closed_gap=-0.3).hold(articulation)
    assert hold is not None
    for time in (0.25, 1.0):
        held = hold(motion, torch.tensor(time))
        wanted = time * (readout(source)[LIPS] - 0.3 + articulation[..., 0] + 0.5)
        torch.testing.assert_close(readout(held)[..., LIPS], wanted, atol=1e-4, rtol=1e-4)
        others = [row for row in range(len(READINGS)) if row != LIPS]
        torch.testing.assert_close(readout(held)[..., others], readout(motion)[..., others], atol=1e-4, rtol=1e-4)


def test_lips_are_not_held_without_a_fit() -> None:
    lips = SpokenLips(readout_of(0.0, 0.0, 0.0, 0.0), torch.zeros(SIZE), closed_gap=0.0)
    assert lips.hold(torch.zeros(1, 5, WIDTH)) is None


@pytest.fixture
def speaking(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> Networks:
    # Fewer steps than a sample needs: the lips are held at each.
    monkeypatch.setattr(sampling.schedule, "times", lambda *_: torch.linspace(0, 1, 3))
    readout = LinearReadout(networks.preset.diffusion.whitened, networks.preset.diffusion.audio_width)
    readout.load_state_dict(networks.readout.state_dict() | {"spoken_gap": readout.spoken_gap})
    readout.spoken_gap[:20] = 0.1
    return replace(networks, readout=readout)


def gaps(networks: Networks, source: Source, seed: int) -> Tensor:
    motion = torch.cat(list(sample_motion(networks, source, babble(4), 100, seed=seed, controls=FREE))).float()
    whiten = networks.diffusion.whitening
    read: Tensor = networks.readout(whiten(motion, source.motion) - whiten(source.motion, source.motion))[:, LIPS]
    return read


def test_sampled_lips_follow_speech_whatever_the_seed(speaking: Networks, source: Source) -> None:
    first, other = (gaps(speaking, source, seed) for seed in (1, 2))
    torch.testing.assert_close(first, other, atol=0.02, rtol=0)
    assert first.std() > 0.02


def test_a_larger_spoken_gap_opens_the_lips_further(speaking: Networks, source: Source) -> None:
    wider = deepcopy(speaking.readout)
    wider.spoken_gap[-1] += 0.5
    change = gaps(replace(speaking, readout=wider), source, 1) - gaps(speaking, source, 1)
    torch.testing.assert_close(change, torch.full_like(change, 0.5), atol=0.02, rtol=0)
