"""Settings read from the environment: one frozen group per concern, read once in a `__main__`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Base of the groups."""

    @classmethod
    def read(cls) -> Self:
        """Read the group from the environment.

        Raises:
            pydantic.ValidationError: a variable is missing or unusable.
        """
        return cls()


def group(prefix: str) -> SettingsConfigDict:
    """Return the configuration of the group that is read from `DUBLINE_{prefix}_*`."""
    # Without the input: an error about a secret must not print it.
    return SettingsConfigDict(env_prefix=f"DUBLINE_{prefix}_", frozen=True, extra="ignore", hide_input_in_errors=True)


def complaints(error: ValidationError) -> list[str]:
    """What is wrong with the environment, a sentence for each variable, for a person to read."""
    group = error.title.removesuffix("Settings").upper()
    return [
        f"the environment variable {'_'.join(['DUBLINE', group, *map(str, fault['loc'])]).upper()} "
        f"is not usable: {fault['msg']}."
        for fault in error.errors()
    ]


class DatabaseSettings(Settings):
    """Where the rows are."""

    model_config = group("DATABASE")
    url: SecretStr
    """`postgresql+psycopg://user:password@host:port/name`."""
    pool_size: int = Field(default=10, ge=6)
    """Connections kept by one process."""


class BrokerSettings(Settings):
    """Where wake-ups go."""

    model_config = group("BROKER")
    url: SecretStr
    """`redis://host:port/number`."""


class BucketSettings(Settings):
    """Where uploads and results are."""

    model_config = group("BUCKET")
    name: str
    region: str = "us-east-1"
    endpoint_url: str = ""
    """Empty means AWS."""
    public_url: str = ""
    """Host that presigned URLs name, when clients reach the bucket by another name than we do."""
    access_key: SecretStr = SecretStr("")
    """Empty means the ambient credentials of the machine."""
    secret_key: SecretStr = SecretStr("")


class LimitSettings(Settings):
    """What is accepted from a tenant."""

    model_config = group("LIMIT")
    upload_bytes: int = Field(default=200_000_000, gt=0)
    """A speech file."""
    portrait_bytes: int = Field(default=30_000_000, gt=0)
    speech_s: float = Field(default=3600.0, gt=0)
    speech_min_s: float = Field(default=0.2, gt=0)
    portrait_px: int = Field(default=50_000_000, gt=0)
    """Pixels of the whole picture, refused before decoding."""
    batch_rows: int = Field(default=10_000, gt=0)
    body_bytes: int = Field(default=10_000_000, gt=0)
    """Body of one request; 10,000 rows take about 3 MB."""
    put_url_s: int = Field(default=3600, gt=0)
    """How long a sender has to PUT an upload."""
    result_url_s: int = Field(default=3600, gt=0, le=3600)


class ApiSettings(Settings):
    """Where the API listens."""

    model_config = group("API")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)


class ControlSettings(Settings):
    """How often the control process takes its turns, in seconds."""

    model_config = group("CONTROL")
    relay_s: float = Field(default=0.2, gt=0)
    """Between two looks into the outbox."""
    reconcile_s: float = Field(default=2.0, gt=0)
    """Between two counts of the rows that nobody claimed."""
    rescue_s: float = Field(default=1.0, gt=0)
    """Between two looks for expired leases and deadlines."""
    janitor_s: float = Field(default=5.0, gt=0)
    """Between two removals of objects that no row needs."""
    expire_s: float = Field(default=60.0, gt=0)
    """Between two looks for what was kept long enough."""
    sweep_s: float = Field(default=3600.0, gt=0)
    """Between two passes over the whole bucket."""
    orphan_age_s: float = Field(default=3600.0, ge=60)
    """How long an object may be in the bucket before its row; far longer than any worker takes to write one."""


class LogSettings(Settings):
    """How events are written to standard error."""

    model_config = group("LOG")
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"
