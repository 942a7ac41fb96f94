"""Settings read from the environment: one frozen group per concern, read once in a `__main__`."""

from __future__ import annotations

import json
import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

import structlog
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dubline.options.refusals import sentence_of
from dubline.orchestration.domain.object_keys import OWN_FOLDERS
from dubline.orchestration.domain.quotas import TenantLimits
from dubline.orchestration.domain.uploads import UNUSED_S
from dubline.orchestration.scaling.pool import PoolSettings

if TYPE_CHECKING:
    from collections.abc import Callable

#: Old environment variable -> new one. An old one is still read where the new one is not set; it is logged, and will
#: be ignored from the next release on.
RENAMED: Final = {
    "DUBLINE_CONTROL_RELAY_S": "DUBLINE_MAINTENANCE_PUBLISH_S",
    "DUBLINE_CONTROL_RECONCILE_S": "DUBLINE_MAINTENANCE_RECONCILE_S",
    "DUBLINE_CONTROL_RESCUE_S": "DUBLINE_MAINTENANCE_RESCUE_S",
    "DUBLINE_CONTROL_JANITOR_S": "DUBLINE_MAINTENANCE_CLEAN_S",
    "DUBLINE_CONTROL_EXPIRE_S": "DUBLINE_MAINTENANCE_EXPIRE_S",
    "DUBLINE_CONTROL_SWEEP_S": "DUBLINE_MAINTENANCE_SWEEP_S",
    "DUBLINE_CONTROL_ORPHAN_AGE_S": "DUBLINE_MAINTENANCE_ORPHAN_AGE_S",
    "DUBLINE_WORKER_PRESET": "DUBLINE_WORKER_PRESETS",
    "DUBLINE_WORKER_PULSE_FILE": "DUBLINE_WORKER_LIVENESS_FILE",
}

#: As SQLAlchemy reads them.
_USER_AND_PASSWORD: Final = re.compile(r"^[^:/]*(:[^@]*)?@")

_log = structlog.get_logger(__name__)


class Settings(BaseSettings):
    """Base of the groups."""

    @classmethod
    def read(cls) -> Self:
        """Read the group from the environment.

        Raises:
            pydantic.ValidationError: a variable is missing or not valid.
        """
        return cls(**cls._renamed())

    @classmethod
    def _renamed(cls) -> dict[str, str]:
        """Return the values that are given under the old names of this group's variables, by field."""
        environ = {name.upper(): value for name, value in os.environ.items()}
        prefix, values = cls.model_config["env_prefix"], {}
        for old, new in RENAMED.items():
            if new.startswith(prefix) and old in environ and new not in environ:
                _log.warning("setting_renamed", old=old, new=new)
                values[new.removeprefix(prefix).lower()] = environ[old]
        return values


def group(prefix: str) -> SettingsConfigDict:
    """Return the configuration of the group that is read from `DUBLINE_{prefix}_*`."""
    # Errors hide the input, which may be a secret. No thread waits for an infinite period.
    return SettingsConfigDict(
        env_prefix=f"DUBLINE_{prefix}_",
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


def validation_messages(error: ValidationError) -> list[str]:
    """Describe each environment variable that is missing or not valid in one sentence."""
    name = error.title.removesuffix("Settings").upper()
    messages = []
    for fault in error.errors():
        if not fault["loc"]:
            # Of several variables, which the sentence names.
            messages.append(sentence_of(fault))
            continue
        # A list has the number of the entry and the name of its field after the name of the variable.
        variable, place = "_".join(["DUBLINE", name, *map(str, fault["loc"][:1])]).upper(), fault["loc"][1:]
        if place:
            parts = [f"entry {part + 1}" if isinstance(part, int) else part for part in place]
            wrong = f"is not usable: {', '.join(parts)}: {sentence_of(fault)}"
        else:
            wrong = "is not set." if fault["type"] == "missing" else f"is not usable: {sentence_of(fault)}"
        messages.append(f"the environment variable {variable} {wrong}")
    return messages


def _of_database(url: str) -> str:
    """Return host and port as SQLAlchemy finds them: an `@` ends the password."""
    return re.split("[/?]", _USER_AND_PASSWORD.sub("", url, count=1), maxsplit=1)[0]


def _of_valkey(url: str) -> str:
    """Return host and port as the clients of valkey find them: a `/`, `?` or `#` ends what stands before the path."""
    return urlsplit(f"//{url}").netloc.rpartition("@")[2]


def _checked(url: SecretStr, schemes: tuple[str, ...], server_of: Callable[[str], str], right: str) -> SecretStr:
    """Return a URL that its client can read.

    Args:
        url: the URL.
        schemes: one of them stands before `://`.
        server_of: returns host and port of what stands behind.
        right: what to use instead.

    Raises:
        ValueError: of a sentence without the URL.
    """
    scheme, _, rest = url.get_secret_value().partition("://")
    try:
        server = server_of(rest)
        usable = scheme in schemes and "@" not in server and urlsplit(f"//{server}").port != 0
    except ValueError:
        usable = False
    if not usable:
        # A client would show a part of the password as the name or the port of a server.
        raise ValueError(
            "The URL is not in the accepted form, in which special characters of a password are written as in %40. "
            f"Use {right}."
        )
    return url


def _database_url(url: SecretStr) -> SecretStr:
    right = "postgresql+psycopg://user:password@host:port/name"
    return _checked(url, ("postgresql+psycopg", "postgresql"), _of_database, right)


def _valkey_url(url: SecretStr) -> SecretStr:
    return _checked(url, ("redis", "rediss"), _of_valkey, "redis://host:port/number")


class DatabaseSettings(Settings):
    """The PostgreSQL database."""

    model_config = group("DATABASE")
    url: Annotated[SecretStr, AfterValidator(_database_url)]
    """`postgresql+psycopg://user:password@host:port/name`."""
    pool_size: int = Field(default=10, ge=6)
    """Connections of one process."""


class BrokerSettings(Settings):
    """The Celery broker."""

    model_config = group("BROKER")
    url: Annotated[SecretStr, AfterValidator(_valkey_url)]
    """`redis://host:port/number`."""


_BUCKET: Final = re.compile(r"[A-Za-z0-9._-]{1,255}|arn:\S+")
_FOLDER: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class BucketSettings(Settings):
    """The S3 bucket of uploads, checkpoints and results."""

    model_config = group("BUCKET")
    name: str
    prefix: str = Field(default="", max_length=200)
    """Start of every key, such as `staging/`, so that installations share a bucket; it never changes afterwards."""
    region: str = "us-east-1"
    endpoint_url: str = ""
    """Empty: AWS."""
    public_url: str = ""
    """Endpoint in presigned URLs, where clients use another one than this process; empty: `endpoint_url`."""
    access_key: SecretStr = SecretStr("")
    """Empty: the default credentials of the environment (AWS_* variables, instance role)."""
    secret_key: SecretStr = SecretStr("")

    @field_validator("name")
    @classmethod
    def _bucket(cls, name: str) -> str:
        # As its client reads it: others are an error of each call, which is repeated as one of the server.
        if not _BUCKET.fullmatch(name):
            raise ValueError("This is no name of a bucket. Use 3 to 63 lower-case letters, digits, '-' and '.'.")
        return name

    @field_validator("prefix")
    @classmethod
    def _folders(cls, prefix: str) -> str:
        parts = prefix.strip("/").split("/") if prefix else []
        if not all(_FOLDER.fullmatch(part) for part in parts):
            raise ValueError("A folder has other characters. Use letters, digits, '-', '_' and '.', such as staging/.")
        # An installation without a prefix would take such objects for its own, and remove them.
        if not OWN_FOLDERS.isdisjoint(parts):
            raise ValueError(f"The service has these folders itself: {', '.join(sorted(OWN_FOLDERS))}. Use others.")
        return "".join(f"{part}/" for part in parts)


class LimitSettings(Settings):
    """Limits on the requests and files of a tenant."""

    model_config = group("LIMIT")
    upload_bytes: int = Field(default=200_000_000, gt=0)
    """Size of a speech file."""
    portrait_bytes: int = Field(default=30_000_000, gt=0)
    speech_s: float = Field(default=3600.0, gt=0)
    speech_min_s: float = Field(default=0.2, gt=0)
    portrait_px: int = Field(default=64_000_000, gt=0)
    """Width times height; a larger picture is rejected before it is decoded."""
    batch_rows: int = Field(default=10_000, gt=0)
    body_bytes: int = Field(default=10_000_000, gt=0)
    """Size of a request body; 10,000 rows take about 3 MB."""
    require_consent: bool = False
    """Whether a portrait is refused without a statement of consent."""
    unused_upload_s: int = Field(default=UNUSED_S, ge=3600, le=10 * 365 * 86_400)
    """Time for which an upload is kept while no job names it."""
    put_url_s: int = Field(default=3600, gt=0, le=7 * 86_400)
    """Lifetime of the presigned URL of an upload; S3 refuses URLs of more than seven days."""
    result_url_s: int = Field(default=3600, gt=0, le=3600)
    """Lifetime of the presigned URL of a result."""
    requests_per_s: float = Field(default=100, gt=0)
    """Requests of a tenant in a second, averaged; this and the next three hold unless others are set for the tenant."""
    queued_jobs: int = Field(default=100_000, gt=0)
    """Jobs of a tenant that are not final."""
    queued_s: float = Field(default=18_000_000, gt=0)
    """Their seconds of speech."""
    stored_bytes: int = Field(default=1_000_000_000_000, gt=0)
    """Declared bytes of a tenant's uploads, and bytes of its videos."""

    def of_tenant(self, own: TenantLimits) -> TenantLimits:
        """Return the limits of a tenant: its own ones, else the defaults."""
        defaults = TenantLimits(
            requests_per_s=self.requests_per_s,
            queued_jobs=self.queued_jobs,
            queued_s=self.queued_s,
            stored_bytes=self.stored_bytes,
            upload_bytes=self.upload_bytes,
        )
        return own.over(defaults)


class ApiSettings(Settings):
    """The address on which the API listens, the proxies in front of it, and the server that counts requests."""

    model_config = group("API")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    rates_url: Annotated[SecretStr, AfterValidator(lambda url: url and _valkey_url(url))] = SecretStr("")
    """`redis://host:port/number` of the valkey that counts requests; empty: each process counts for itself."""
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses and networks, separated by commas, of the proxies whose `X-Forwarded-For` names the client."""

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _separated(cls, proxies: object) -> object:
        if not isinstance(proxies, str):
            return proxies
        return tuple(part.strip() for part in proxies.split(",") if part.strip())

    @field_validator("trusted_proxies")
    @classmethod
    def _are_networks(cls, proxies: tuple[str, ...]) -> tuple[str, ...]:
        for proxy in proxies:
            try:
                ip_network(proxy)
            except ValueError:
                raise ValueError(f"{proxy!r} is no address and no network. Use such as 10.0.0.0/8.") from None
        return proxies


class MaintenanceSettings(Settings):
    """Periods of the maintenance process's tasks, in seconds."""

    model_config = group("MAINTENANCE")
    publish_s: float = Field(default=0.2, gt=0)
    """Between two polls of the outbox."""
    reconcile_s: float = Field(default=2.0, gt=0)
    """Between two counts of unclaimed rows."""
    rescue_s: float = Field(default=1.0, gt=0)
    """Between two searches for expired leases and deadlines."""
    clean_s: float = Field(default=5.0, gt=0)
    """Between two removals of objects that are pending deletion."""
    expire_s: float = Field(default=60.0, gt=0)
    """Between two searches for files whose retention has ended."""
    sweep_s: float = Field(default=3600.0, gt=0)
    """Between two passes over the whole bucket."""
    orphan_age_s: float = Field(default=3600.0, ge=60)
    """Age from which an object without a row is an orphan; far longer than a worker takes to insert a row."""
    liveness_file: str = ""
    """Touched after each run of a task while none hangs, for probes on the same machine; empty disables it."""

    @property
    def liveness_path(self) -> Path | None:
        """The liveness file; None if it is disabled."""
        return Path(self.liveness_file) if self.liveness_file else None


class ScalingSettings(Settings):
    """The pools of workers, and the loop that scales them on a cluster."""

    model_config = group("SCALING")
    pools: Annotated[tuple[PoolSettings, ...], NoDecode] = ()
    """JSON list; empty: nothing is scaled."""
    namespace: str = ""
    """Namespace of the Deployments; empty: that of this pod or of the current context."""
    period_s: float = Field(default=15.0, gt=0)
    """Between two decisions."""
    liveness_file: str = ""
    """Touched after each pass, for probes on the same machine; empty disables it."""

    @field_validator("pools", mode="before")
    @classmethod
    def _decoded(cls, text: object) -> object:
        if not isinstance(text, str):
            return text
        try:
            pools: Any = json.loads(text or "[]")
        except ValueError as error:
            raise ValueError(f"This is not JSON: {error}. Write a list of pools.") from None
        return pools

    @field_validator("pools")
    @classmethod
    def _distinct(cls, pools: tuple[PoolSettings, ...]) -> tuple[PoolSettings, ...]:
        for field in ("name", "deployment"):
            values = [getattr(pool, field) for pool in pools]
            for value in sorted({one for one in values if values.count(one) > 1}):
                raise ValueError(f"Two pools have the {field} {value}. Give each its own.")
        return pools

    @property
    def liveness_path(self) -> Path | None:
        """The liveness file; None if it is disabled."""
        return Path(self.liveness_file) if self.liveness_file else None


class MetricsSettings(Settings):
    """The port on which a process publishes its metrics for Prometheus."""

    model_config = group("METRICS")
    port: int = Field(default=0, ge=0, le=65535)
    """Port of `/metrics`, on all addresses and without a key; 0: off."""


class LogSettings(Settings):
    """Format and level of the log on standard error."""

    model_config = group("LOG")
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"
