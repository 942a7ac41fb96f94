"""Controls over HTTP: what a tenant may ask of motion beside the speech."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final, Self

from pydantic import Field

from dubline.api.schemas.fields import AnswerModel, RequestModel
from dubline.orchestration.domain.controls import LIMITS, USUAL, Controls

EXPRESSION: Final = "How far brows, smile and cheeks leave the portrait's: 0 not at all, 1 as usual, 2 twice as far."
HEAD_MOTION: Final = "How far the head leaves its place in the portrait: 0 not at all, 1 as usual, 2 twice as far."
BLINK: Final = "How often the eyes blink: 0 never, 1 as usual, 2 twice as often."
SHUT_IN_SILENCE: Final = "How far the lips shut where nobody speaks: 0 as they were drawn, 1 shut."

Expression = Annotated[float, Field(strict=True, ge=0, le=LIMITS["expression"], description=EXPRESSION, examples=[1.0])]
HeadMotion = Annotated[
    float, Field(strict=True, ge=0, le=LIMITS["head_motion"], description=HEAD_MOTION, examples=[0.5])
]
Blink = Annotated[float, Field(strict=True, ge=0, le=LIMITS["blink"], description=BLINK, examples=[1.0])]
ShutInSilence = Annotated[
    float, Field(strict=True, ge=0, le=LIMITS["shut_in_silence"], description=SHUT_IN_SILENCE, examples=[1.0])
]


class ControlsRequest(RequestModel):
    """What to change about the motion; what is left out stays as usual."""

    expression: Expression = USUAL.expression
    head_motion: HeadMotion = USUAL.head_motion
    blink: Blink = USUAL.blink
    shut_in_silence: ShutInSilence = USUAL.shut_in_silence

    def controls(self) -> Controls:
        """Say the same in the words of the store."""
        return Controls(**self.model_dump())


class ControlsAnswer(AnswerModel):
    """What was asked of the motion."""

    expression: Expression
    head_motion: HeadMotion
    blink: Blink
    shut_in_silence: ShutInSilence

    @classmethod
    def of(cls, controls: Controls) -> Self:
        """Show controls as the row says."""
        return cls(**asdict(controls))
