"""Schema of limits."""

from __future__ import annotations

from pydantic import Field

from dubline.api.schemas.fields import ResponseModel


class HeldAnswer(ResponseModel):
    """What the tenant holds."""

    jobs: int = Field(description="Jobs that are not final.", examples=[12])
    speech_s: float = Field(description="Their seconds of speech.", examples=[345.6])
    stored_bytes: int = Field(description="Declared bytes of uploads, and bytes of videos.", examples=[120_000_000])


class LimitsAnswer(ResponseModel):
    """Limits of this server and of the caller's tenant. A limit that is null does not exist."""

    batch_rows: int = Field(description="Largest number of jobs in a batch.", examples=[10_000])
    portrait_bytes: int = Field(description="Largest portrait file.", examples=[30_000_000])
    speech_bytes: int = Field(description="Largest speech file.", examples=[200_000_000])
    consent_required: bool = Field(description="Whether a portrait needs a statement of consent.", examples=[False])
    unused_upload_s: int = Field(
        description="Seconds for which an upload is kept while no job names it.", examples=[604_800]
    )
    presets: list[str] = Field(description="Names of the presets.", examples=[["base", "tiny"]])
    requests_per_s: float | None = Field(description="Requests in a second, averaged over 10 s.", examples=[100])
    queued_jobs: int | None = Field(description="Jobs that are not final.", examples=[100_000])
    queued_s: float | None = Field(description="Their seconds of speech.", examples=[18_000_000])
    running_jobs: int | None = Field(description="Jobs that are rendered at once.", examples=[None])
    stored_bytes: int | None = Field(description="Bytes of uploads and videos.", examples=[1_000_000_000_000])
    held: HeldAnswer
