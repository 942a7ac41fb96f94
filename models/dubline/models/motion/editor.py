"""Edits whitened motion by the motion controls: head, expression, blinks and lips in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dubline.models.motion.readout import HEAD, LIDS, LIPS, MOOD
from dubline.options.render import RenderOptions, faults_of

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.motion.readout import LinearReadout
    from dubline.options.render import MotionControls


class MotionEditor:
    """Changes whitened motion as controls ask, frame by frame: windows that join stay joined.

    Lids stay as they are in the portrait: what is drawn of them is no blink, but a drift that follows nothing.

    Args:
        controls: what is asked for.
        rig: of the networks that draw the motion; one that was never fitted leaves all motion as it is.
        still: (K,), the whitened motion that leaves the portrait as it is.
        rest: the lip gap of this face at rest less the portrait's, in cm.

    Raises:
        ValueError: a control is out of its bounds.
    """

    def __init__(self, controls: MotionControls, readout: LinearReadout, still: Tensor, rest: float) -> None:
        for option, value in faults_of(RenderOptions(controls=controls)):
            raise ValueError(f"The {option.label} is {value}. Use {option.range}.")
        self.readout, self.still, self.rest, self.shut = readout, still, rest, controls.shut_in_silence
        self.steps = readout.steps()
        self.factors = self.steps.new_ones(len(self.steps))
        self.factors[HEAD], self.factors[LIDS], self.factors[MOOD] = controls.head_motion, 0.0, controls.expression
        # Without readings everything would count as the head, the lips too.
        self.unread = controls.head_motion if readout.weight.any() else 1.0

    def __call__(self, motion: Tensor, silence: Tensor, blinks: Tensor) -> Tensor:
        """Whitened motion (T, K), how silent its frames are (T,), how far lids are shut (T,) -> whitened motion."""
        moved = motion - self.still
        read = self.readout(moved)
        change = (self.factors - 1) * read
        change[:, LIPS] += self.shut * silence * (self.rest - read[:, LIPS])
        unread = moved - read @ self.steps
        steered: Tensor = motion + change @ self.steps + (self.unread - 1) * unread
        return steered + blinks[:, None] * self.readout.lid_closure
