"""The same motion with open lids, by which a renderer tells what a blink moves, and motion with shut lids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from dubline.models.motion.readout import LIDS
from dubline.models.stage1.shut_lids import OpenLids

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.motion.readout import LinearReadout
    from dubline.models.stage2.diffusion import Whitening

#: Lids that are closed by less than this are open.
OPEN: Final = 0.05


def open_lids(motion: Tensor, source: Tensor, whitening: Whitening, readout: LinearReadout) -> OpenLids:
    """Take the blinks out of motion that a `MotionEditor` has edited, which moves lids by blinks only.

    Args:
        motion: latents (T, M).
        source: latent of the source frame (1, M).
        whitening: of the networks that sampled the motion.
        readout: of the same networks.

    Returns:
        The open lids: all given values and no closure if no readout is fitted.
    """
    blink = readout(readout.lid_closure)[LIDS]
    if not blink:
        return OpenLids(motion, motion.new_zeros(len(motion)))
    closure = readout(whitening(motion, source) - whitening(source, source))[:, LIDS, None] / blink
    closure = torch.where(closure > OPEN, closure, 0)
    opened = torch.where(closure > 0, motion - closure * _direction(source, whitening, readout), motion)
    return OpenLids(opened, closure[:, 0])


def shut_lids(source: Tensor, whitening: Whitening, readout: LinearReadout) -> Tensor:
    """Return the latent (1, M) of a source whose latent is (1, M), with shut lids."""
    return source + _direction(source, whitening, readout)


def _direction(source: Tensor, whitening: Whitening, readout: LinearReadout) -> Tensor:
    nothing = torch.zeros_like(readout.lid_closure)
    return whitening.invert(readout.lid_closure, source) - whitening.invert(nothing, source)
