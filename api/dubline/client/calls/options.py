"""Render options as a client asks for them; None leaves the choice to the server."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dubline.options.render import BY_NAME


def _within(name: str) -> Any:
    """Return the bounds of one option, so that a value out of bounds is refused before any file is sent."""
    one = BY_NAME[name]
    return Field(ge=one.least, le=one.most, multiple_of=one.multiple_of)


def _offered(preset: str) -> str:
    one = BY_NAME["preset"]
    if not one.accepts(preset):
        raise ValueError(f"there is no preset {preset!r}; use {one.range}")
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


class RequestedOptions(BaseModel):
    """The client's counterpart of `dubline.options.render.RenderOptions`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: Annotated[str, AfterValidator(_offered)] | None = None
    seed: Annotated[int, _within("seed")] | None = None
    face_index: Annotated[int, _within("face_index")] | None = None
    controls: Controls = Controls()
    output: Output = Output()

    def chosen(self) -> dict[str, Any]:
        """Return the fields that were chosen, as the API takes them; groups without a choice are left out."""
        names = set(RequestedOptions.model_fields)
        dumped = self.model_dump(include=names, exclude_none=True)
        return {name: value for name, value in dumped.items() if value != {}}


DEFAULT: Final = RequestedOptions()
