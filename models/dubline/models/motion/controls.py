"""What a user may ask of motion beside the speech: more or less of the head and the mood, blinks, lips that rest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from dubline.models.motion.readout import HEAD, LIDS, LIPS, MOOD

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.motion.readout import LinearReadout

#: Twice as much is as far as the released weights draw faces that hold together (docs/decisions/0013).
MOST: Final = {"expression": 2.0, "head_motion": 2.0, "blink": 2.0, "shut_in_silence": 1.0}


@dataclass(frozen=True)
class MotionControls:
    """How much of everything: 0 is the portrait's own state, 1 as usual, 2 twice as much.

    expression: brows, smile and cheeks.
    head_motion: where the head is and where it turns, and all that the rig cannot read: most of that moves heads too.
    blink: how often the eyes blink (`dubline.models.motion.blinks`).
    shut_in_silence: 0 to 1, how far the lips leave what was sampled for this face's rest where nobody speaks.

    Raises:
        ValueError: a value is out of its range.
    """

    expression: float = 1.0
    head_motion: float = 1.0
    blink: float = 1.0
    shut_in_silence: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            # Written so that NaN is refused too.
            if not 0 <= value <= MOST[name]:
                raise ValueError(f"{name} is {value}; give 0 to {MOST[name]:g}")


DEFAULT_CONTROLS: Final = MotionControls()


class MotionEditor:
    """Changes whitened motion as controls ask, frame by frame: windows that join stay joined.

    Lids stay as they are in the portrait: what is drawn of them is no blink, but a drift that follows nothing.

    Args:
        controls: what is asked for.
        rig: of the networks that draw the motion; one that was never fitted leaves all motion as it is.
        still: (K,), the whitened motion that leaves the portrait as it is.
        rest: the lip gap of this face at rest less the portrait's, in cm.
    """

    def __init__(self, controls: MotionControls, readout: LinearReadout, still: Tensor, rest: float) -> None:
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
