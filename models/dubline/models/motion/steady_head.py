"""Smooths sampled motion over time, except the lip gap.

Each frame's motion is encoded by itself, with an error of its own, and sampled motion has learnt these errors: a head
turns by .6 degrees a frame as true ones do, but the turn changes by four times as much from frame to frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from dubline.models.motion.readout import HEAD, LIPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from dubline.models.motion.readout import LinearReadout

#: Standard deviations of the Gaussian filters in frames, of head motion and of all other motion except the lip gap.
#: Encoded true motion then changes as much from frame to frame as that of the clips' rig (docs/log.md). What
#: the readings do not explain is mostly head motion, but shapes of the mouth too.
HEAD_SIGMA: Final = 1.5
OTHER_SIGMA: Final = 0.7
#: Frames on either side that are averaged.
RADIUS: Final = 4


def steady(windows: Iterator[tuple[Tensor, Tensor]], readout: LinearReadout) -> Iterator[tuple[Tensor, Tensor]]:
    """Average all motion except the lip gap over neighbouring frames.

    Lips must close within two frames. Without a fitted readout they can't be told from the head, and motion is not
    changed.

    Args:
        windows: whitened motion (T, K) and silence (T,) of successive frames.
        readout: of the networks that sampled the motion.

    Yields:
        The same frames, up to `RADIUS` frames later.
    """
    if not readout.weight.any():
        yield from windows
        return
    motion, silence = readout.weight.new_empty(0, readout.weight.shape[1]), readout.weight.new_empty(0)
    for frames, quiet in _padded(windows):
        motion, silence = torch.cat([motion, frames]), torch.cat([silence, quiet])
        count = len(motion) - 2 * RADIUS
        if count > 0:
            yield _averaged(motion, readout), silence[RADIUS : RADIUS + count]
            motion, silence = motion[count:], silence[count:]


def _averaged(motion: Tensor, readout: LinearReadout) -> Tensor:
    """Filter motion (T + 2 RADIUS, K): (T, K)."""
    read, directions = readout(motion), readout.directions()
    head, lips = read[:, HEAD] @ directions[HEAD], read[:, LIPS, None] * directions[LIPS]
    other = motion - head - lips
    smooth = _filter(head, HEAD_SIGMA) + _filter(other, OTHER_SIGMA)
    steadied: Tensor = smooth + lips[RADIUS : len(motion) - RADIUS]
    return steadied


def _filter(motion: Tensor, sigma: float) -> Tensor:
    """Average motion (T + 2 RADIUS, K) with Gaussian weights: (T, K)."""
    weights = torch.exp(-0.5 * (torch.arange(-RADIUS, RADIUS + 1, device=motion.device) / sigma).square())
    filtered: Tensor = motion.unfold(0, len(weights), 1) @ (weights / weights.sum())
    return filtered


def _padded(windows: Iterator[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Repeat the first and the last frame `RADIUS` times."""
    last: tuple[Tensor, Tensor] | None = None
    for motion, silence in windows:
        if last is None:
            yield motion[:1].expand(RADIUS, -1), silence[:1].expand(RADIUS)
        yield motion, silence
        last = motion[-1:], silence[-1:]
    if last is not None:
        yield last[0].expand(RADIUS, -1), last[1].expand(RADIUS)
