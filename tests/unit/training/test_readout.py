"""Fit of the motion readout to synthetic motion with known readings."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from dubline.models.motion.readout import LIDS, READINGS
from dubline.models.stage2.diffusion import Whitening
from dubline.training.corpus import Clip
from dubline.training.readout import fit_readout, readings_of

MOTION, WHITENED = 20, 16


class Encoder:
    """Reads motion from pixels that encode it."""

    def encode_motion(self, frames: Tensor) -> Tensor:
        return frames[:, 0, 0, :MOTION]


def clip(random: np.random.Generator, mixing: np.ndarray, *, labelled: bool = True) -> Clip:
    """Create a clip whose motion is a linear mixture of the labels, a constant per person and unlabelled motion."""
    geometry = random.normal(0, 1, (200, 68)).astype(np.float32)
    read = readings_of(torch.from_numpy(geometry)).numpy()
    motion = read @ mixing[: len(READINGS)] + random.normal(0, 1, (200, 9)) @ mixing[len(READINGS) :]
    pixels = 127.5 + 8 * (motion + 2 * random.normal(0, 1, MOTION))
    frames = np.broadcast_to(pixels.round().clip(0, 255).astype(np.uint8)[:, None, :, None], (200, 1, MOTION, 3))
    empty = np.zeros(0, np.float32)
    return Clip("a", "speech", False, frames, empty, None, geometry if labelled else None, None)


@pytest.fixture
def mixing() -> np.ndarray:
    random = np.random.default_rng(0)
    return np.linalg.qr(random.normal(0, 1, (MOTION, MOTION)))[0] * 0.5


def whitening_of(clips: list[Clip]) -> Whitening:
    motion = torch.cat(
        [Encoder().encode_motion(torch.from_numpy(c.frames / 127.5 - 1).permute(0, 3, 1, 2)) for c in clips]
    )
    whitening = Whitening(MOTION, MOTION)
    whitening.fit(motion.float())
    return whitening


def test_the_readout_recovers_the_labels(mixing: np.ndarray) -> None:
    random = np.random.default_rng(1)
    clips = [clip(random, mixing) for _ in range(20)]
    whitening = whitening_of(clips)
    readout = fit_readout(Encoder(), whitening, clips)
    new = clip(random, mixing)
    frames = torch.from_numpy(new.frames / 127.5 - 1).permute(0, 3, 1, 2).float()
    found = readout(whitening(Encoder().encode_motion(frames), torch.zeros(())))
    truth = readings_of(torch.from_numpy(new.geometry))
    for row in range(len(READINGS)):
        assert torch.corrcoef(torch.stack([found[:, row], truth[:, row]]))[0, 1] > 0.97, READINGS[row]


def test_the_direction_of_closed_lids_is_recovered(mixing: np.ndarray) -> None:
    random = np.random.default_rng(1)
    clips = [clip(random, mixing) for _ in range(20)]
    whitening = whitening_of(clips)
    # Pixels are 8 / 127.5 of motion.
    lids = torch.from_numpy(mixing[LIDS]).float() * 8 / 127.5
    expected = whitening(whitening.mean + lids, torch.zeros(()))
    torch.testing.assert_close(fit_readout(Encoder(), whitening, clips).lid_closure, expected, atol=0.1, rtol=0)


def test_clips_without_labels_do_not_change_the_fit(mixing: np.ndarray) -> None:
    random = np.random.default_rng(1)
    clips = [clip(random, mixing) for _ in range(3)]
    whitening = whitening_of(clips)
    unlabelled = clip(random, mixing, labelled=False)
    with_it, without = (fit_readout(Encoder(), whitening, each).weight for each in ([*clips, unlabelled], clips))
    assert torch.equal(with_it, without)
    untaught = fit_readout(Encoder(), whitening, [unlabelled])
    assert not untaught.weight.any()
    assert not untaught.lid_closure.any()


def test_each_reading_has_columns_of_its_own() -> None:
    read = readings_of(torch.eye(68))
    assert read.shape == (68, len(READINGS))
    assert read.abs().sum(1).max() == 1, "no column counts twice"
    assert [int(column) for column in read.abs().sum(0)] == [1] * 8 + [6, 4, 8]
