"""Schemas of usage."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Self

from pydantic import Field

from dubline.api.schemas.fields import ResponseModel
from dubline.orchestration.domain.usage import Usage


class UsageAnswer(ResponseModel):
    """Usage of one day and preset."""

    day: date = Field(description="Day in UTC on which the jobs became final.")
    preset: str
    jobs: int
    succeeded: int
    failed: int
    cancelled: int
    video_s: float = Field(description="Seconds of finished video.")
    device_s: float = Field(description="Seconds of device time, also of jobs that failed or were cancelled.")
    size_bytes: int = Field(description="Size of the finished videos.")

    @classmethod
    def of(cls, usage: Usage) -> Self:
        """Build the schema of a sum."""
        return cls.model_validate({name: value for name, value in asdict(usage).items() if name != "tenant"})


class UsageList(ResponseModel):
    """Usage of a period, in the order of days."""

    first: date
    last: date
    data: list[UsageAnswer]
