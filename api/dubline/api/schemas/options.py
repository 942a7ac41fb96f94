"""Render options over HTTP: the fields that a request may set and a job shows.

Bounds, defaults and descriptions come from `dubline.options.render`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from dubline.api.schemas.fields import RequestModel, ResponseModel, printable
from dubline.options.point import DESCRIPTION, POINT_MOST_PX, X_DESCRIPTION, Y_DESCRIPTION, Point
from dubline.options.render import BY_NAME, DEFAULT, MotionControls, OutputOptions, RenderOptions


def _option(name: str) -> Any:
    """Return the schema of one option.

    Args:
        name: its dotted name in the table of options.
    """
    one = BY_NAME[name]
    return Field(
        strict=True,
        ge=one.least,
        le=one.most,
        multiple_of=one.multiple_of,
        description=one.description,
        examples=[one.example],
    )


# Admission checks the name of a preset, so that an unknown one is refused with its row and the known names.
Preset = Annotated[
    str,
    Field(min_length=1, max_length=64, description=BY_NAME["preset"].description, examples=["base"]),
    AfterValidator(printable),
]
Seed = Annotated[int, _option("seed")]
FaceIndex = Annotated[int, _option("face_index")]
Expression = Annotated[float, _option("controls.expression")]
HeadMotion = Annotated[float, _option("controls.head_motion")]
Blink = Annotated[float, _option("controls.blink")]
ShutInSilence = Annotated[float, _option("controls.shut_in_silence")]
HeightPx = Annotated[int, _option("output.height_px")]


class ControlsRequest(RequestModel):
    """Motion controls; a control that is left out keeps its default."""

    expression: Expression = DEFAULT.controls.expression
    head_motion: HeadMotion = DEFAULT.controls.head_motion
    blink: Blink = DEFAULT.controls.blink
    shut_in_silence: ShutInSilence = DEFAULT.controls.shut_in_silence


class OutputRequest(RequestModel):
    """What the video file is like; a field that is left out keeps its default."""

    height_px: HeightPx | None = DEFAULT.output.height_px


class PointRequest(RequestModel):
    """A point of the portrait."""

    x: int = Field(strict=True, ge=0, le=POINT_MOST_PX, description=X_DESCRIPTION, examples=[640])
    y: int = Field(strict=True, ge=0, le=POINT_MOST_PX, description=Y_DESCRIPTION, examples=[360])

    def point(self) -> Point:
        """Return the point as the domain has it."""
        return Point(self.x, self.y)


class RenderOptionsRequest(RequestModel):
    """What a sender chooses about a video."""

    preset: Preset = DEFAULT.preset
    seed: Seed | None = DEFAULT.seed
    face_index: FaceIndex | None = DEFAULT.face_index
    # The example of a job has the other way to choose a face; both are refused.
    face: PointRequest | None = Field(default=None, description=DESCRIPTION, examples=[None])
    controls: ControlsRequest = Field(default=ControlsRequest(), examples=[asdict(MotionControls(head_motion=0.5))])

    output: OutputRequest = Field(default=OutputRequest(), examples=[asdict(OutputOptions(height_px=720))])

    def render_options(self) -> RenderOptions:
        """Return the options as the domain has them."""
        return RenderOptions(
            preset=self.preset,
            seed=self.seed,
            face_index=self.face_index,
            controls=MotionControls(**self.controls.model_dump()),
            output=OutputOptions(**self.output.model_dump()),
        )


class ControlsAnswer(ResponseModel):
    """The motion controls of a job."""

    expression: Expression
    head_motion: HeadMotion
    blink: Blink
    shut_in_silence: ShutInSilence


class OutputAnswer(ResponseModel):
    """What the video file of a job is like."""

    height_px: HeightPx | None


class RenderOptionsAnswer(ResponseModel):
    """The render options of a job."""

    preset: str
    seed: int
    face_index: FaceIndex | None
    controls: ControlsAnswer
    output: OutputAnswer
