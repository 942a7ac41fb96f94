"""The same motion with open lids, by which a renderer tells what a blink moves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from dubline.models.motion.readout import LIDS

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.motion.readout import LinearReadout
    from dubline.models.stage2.diffusion import Whitening

#: Lids that are closed by less than this are open.
OPEN: Final = 0.05


def open_lids(motion: Tensor, source: Tensor, whitening: Whitening, readout: LinearReadout) -> Tensor:
    """Take the blinks out of motion that a `MotionEditor` has edited, which moves lids by blinks only.

    Args:
        motion: latents (T, M).
        source: latent of the source frame (1, M).
        whitening: of the networks that sampled the motion.
        readout: of the same networks.

    Returns:
        Latents (T, M): the given values where lids are open, and all of them if no readout is fitted.
    """
    blink = readout(readout.lid_closure)[LIDS]
    if not blink:
        return motion
    closure = readout(whitening(motion, source) - whitening(source, source))[:, LIDS, None] / blink
    nothing = torch.zeros_like(readout.lid_closure)
    direction = whitening.invert(readout.lid_closure, source) - whitening.invert(nothing, source)
    return torch.where(closure > OPEN, motion - closure * direction, motion)
