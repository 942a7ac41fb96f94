"""Filter of sampled motion: every frame once, lips as sampled, everything else without jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from dubline.models.motion.readout import LIPS, LinearReadout
from dubline.models.motion.steady_head import RADIUS, steady

if TYPE_CHECKING:
    from collections.abc import Sequence

FRAMES = 100


@pytest.fixture
def readout() -> LinearReadout:
    torch.manual_seed(0)
    fitted = LinearReadout(16)
    fitted.weight.copy_(torch.randn(fitted.weight.shape))
    return fitted


@pytest.fixture
def motion() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(FRAMES, 16)


def filtered(motion: Tensor, readout: LinearReadout, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    silence = torch.arange(len(motion)).float()
    windows = zip(motion.split(list(lengths)), silence.split(list(lengths)), strict=True)
    frames, silences = zip(*steady(windows, readout), strict=True)
    return torch.cat(frames), torch.cat(silences)


@pytest.mark.parametrize("lengths", [[100], [60, 40], [1, 1, 3, 95], [99, 1], [50, RADIUS, 50 - RADIUS]])
def test_any_windows_give_the_same_frames_each_once(readout: LinearReadout, motion: Tensor, lengths: list[int]) -> None:
    frames, silence = filtered(motion, readout, lengths)
    assert torch.equal(silence, torch.arange(FRAMES).float()), "silence stays with its frame"
    torch.testing.assert_close(frames, filtered(motion, readout, [FRAMES])[0])


@pytest.mark.parametrize("count", [1, 2, RADIUS, 2 * RADIUS + 1])
def test_short_and_still_motion_is_not_changed(readout: LinearReadout, motion: Tensor, count: int) -> None:
    still = motion[:1].expand(count, -1)
    torch.testing.assert_close(filtered(still, readout, [count])[0], still)


def test_lips_keep_their_gap_and_everything_else_is_steadier(readout: LinearReadout, motion: Tensor) -> None:
    before, after = readout(motion), readout(filtered(motion, readout, [60, 40])[0])
    torch.testing.assert_close(after[:, LIPS], before[:, LIPS], atol=1e-4, rtol=1e-4)
    others = torch.arange(before.shape[1]) != LIPS
    changes = [track[:, others].diff(n=2, dim=0).norm() for track in (before, after)]
    assert changes[1] < 0.2 * changes[0]


def test_slow_motion_is_followed_without_lag(readout: LinearReadout) -> None:
    slow = torch.linspace(0, 1, FRAMES)[:, None].expand(-1, 16)
    frames, _ = filtered(slow, readout, [60, 40])
    torch.testing.assert_close(frames[RADIUS:-RADIUS], slow[RADIUS:-RADIUS])


def test_without_a_fitted_readout_nothing_is_changed(motion: Tensor) -> None:
    assert torch.equal(filtered(motion, LinearReadout(16), [60, 40])[0], motion)
