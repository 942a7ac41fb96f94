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
    """Applies motion controls to whitened motion, frame by frame, so that windows stay continuous.

    `head_motion` also scales the motion that the readout does not explain: most of it is head motion. Lids are held as
    in the portrait: their sampled motion is a slow drift, not blinks.

    Args:
        controls: the factors.
        readout: of the networks that sample the motion; if it is not fitted, motion is not changed.
        source: (K,), the whitened motion of the source frame.
        rest_gap: lip gap of this face at rest minus the portrait's, in cm.
        lift: added to the lip gap of all frames, in cm.

    Raises:
        ValueError: a control is out of its bounds.
    """

    def __init__(
        self, controls: MotionControls, readout: LinearReadout, source: Tensor, rest_gap: float, lift: float = 0.0
    ) -> None:
        for option, value in faults_of(RenderOptions(controls=controls)):
            raise ValueError(f"The {option.label} is {value}. Use {option.range}.")
        self.readout, self.source, self.rest_gap, self.lift = readout, source, rest_gap, lift
        self.lip_closure = controls.shut_in_silence
        self.directions = readout.directions()
        self.factors = self.directions.new_ones(len(self.directions))
        self.factors[HEAD], self.factors[LIDS], self.factors[MOOD] = controls.head_motion, 0.0, controls.expression
        # Without a fitted readout all motion, the lips' too, would be treated as head motion.
        self.unread_factor = controls.head_motion if readout.weight.any() else 1.0

    def __call__(self, motion: Tensor, silence: Tensor, blinks: Tensor) -> Tensor:
        """Edit whitened motion.

        Args:
            motion: (T, K).
            silence: (T,), 0 to 1.
            blinks: (T,), closure of the lids, 0 to 1.

        Returns:
            Whitened motion (T, K).
        """
        moved = motion - self.source
        read = self.readout(moved)
        change = (self.factors - 1) * read
        lips = read[:, LIPS] + self.lift
        change[:, LIPS] += self.lift + self.lip_closure * silence * (self.rest_gap - lips)
        unread = moved - read @ self.directions
        edited: Tensor = motion + change @ self.directions + (self.unread_factor - 1) * unread
        return edited + blinks[:, None] * self.readout.lid_closure
