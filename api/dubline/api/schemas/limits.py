"""Schema of limits."""

from __future__ import annotations

from pydantic import Field

from dubline.api.schemas.fields import ResponseModel


class LimitsAnswer(ResponseModel):
    """Limits of this server."""

    batch_rows: int = Field(description="Largest number of jobs in a batch.", examples=[10_000])
    portrait_bytes: int = Field(description="Largest portrait file.", examples=[30_000_000])
    speech_bytes: int = Field(description="Largest speech file.", examples=[200_000_000])
    presets: list[str] = Field(description="Names of the presets.", examples=[["base", "tiny"]])
