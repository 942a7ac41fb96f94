"""Render options as a client asks for them; None leaves the choice to the server."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dubline.options.point import POINT_MOST_PX
from dubline.options.render import BY_NAME


def _within(name: str) -> Any:
    """Return the bounds of one option, so that a value out of bounds is refused before any file is sent."""
    one = BY_NAME[name]
    return Field(ge=one.least, le=one.most, multiple_of=one.multiple_of)


def _offered(preset: str) -> str:
    one = BY_NAME["preset"]
    if not one.accepts(preset):
        raise ValueError(f"There is no preset {preset!r}. Use {one.range}.")
    return preset


class Controls(BaseModel):
    """Motion controls: 0 keeps what the portrait shows, 1 is the default (see `dubline.options.render`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    expression: Annotated[float, _within("controls.expression")] | None = None
    head_motion: Annotated[float, _within("controls.head_motion")] | None = None
    blink: Annotated[float, _within("controls.blink")] | None = None
    shut_in_silence: Annotated[float, _within("controls.shut_in_silence")] | None = None


class Output(BaseModel):
    """What the video file is like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    height_px: Annotated[int, _within("output.height_px")] | None = None


class Point(BaseModel):
    """A point of the portrait in pixels after EXIF rotation, from its left and top edge."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    x: Annotated[int, Field(ge=0, le=POINT_MOST_PX)]
    y: Annotated[int, Field(ge=0, le=POINT_MOST_PX)]


class RequestedOptions(BaseModel):
    """The client's counterpart of `dubline.options.render.RenderOptions`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Annotated[str, AfterValidator(_offered)] | None = None
    seed: Annotated[int, _within("seed")] | None = None
    face_index: Annotated[int, _within("face_index")] | None = None
    face: Point | None = None
    """Chooses the face at a point instead of `face_index`."""
    controls: Controls = Controls()
    output: Output = Output()

    @model_validator(mode="after")
    def _one_face(self) -> Self:
        if self.face is not None and self.face_index is not None:
            raise ValueError("Both face and face_index are given. Use one of them.")
        return self

    def chosen(self) -> dict[str, Any]:
        """Return the fields that were chosen, as the API takes them; groups without a choice are left out."""
        names = set(RequestedOptions.model_fields)
        dumped = self.model_dump(include=names, exclude_none=True)
        return {name: value for name, value in dumped.items() if value != {}}


DEFAULT: Final = RequestedOptions()
