"""Settings of a worker, read from the environment."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_settings import NoDecode

from dubline.options.render import DEFAULT_PRESET, PRESETS
from dubline.orchestration.domain.pools import DEFAULT_POOL, POOL_PATTERN
from dubline.orchestration.settings import Settings, group

#: All presets, the default first.
OFFERED: Final = (DEFAULT_PRESET, *sorted(PRESETS - {DEFAULT_PRESET}))

PresetName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,64}$")]


class WorkerSettings(Settings):
    """Presets, device, folders and poll interval of a worker."""

    model_config = group("WORKER")
    presets: Annotated[tuple[PresetName, ...], NoDecode] = Field(default=OFFERED, min_length=1)
    """Presets that are rendered, separated by commas; the networks of the first are loaded first."""
    pool: str = Field(default=DEFAULT_POOL, pattern=POOL_PATTERN)
    """Name of the workers that are like this one: presets, kind of device, price."""
    device: str = "auto"
    """auto, cpu, or a torch device name."""
    scratch_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()))
    """Parent of the worker's scratch folder."""
    model_bytes: int = Field(default=2_000_000_000, gt=0)
    """Networks on the device; when others are loaded, those that were used least recently are removed."""
    weights_dir: Path | None = None
    """Folder of weights that the workers of one machine share; None: each worker has its own, in its scratch folder."""
    weights_bytes: int = Field(default=10_000_000_000, gt=0)
    """Weights in this folder; the versions that were used least recently are removed."""
    poll_s: float = Field(default=5.0, gt=0)
    """Seconds between two polls of an idle worker without a wake-up; each is up to a fifth shorter or longer."""
    liveness_file: str = ""
    """Touched at each poll and each step, for probes on the same machine; empty disables it."""

    @field_validator("presets", mode="before")
    @classmethod
    def _separated(cls, presets: object) -> object:
        if not isinstance(presets, str):
            return presets
        return tuple(dict.fromkeys(part.strip() for part in presets.split(",")))

    @field_validator("presets")
    @classmethod
    def _are_presets(cls, presets: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [name for name in presets if name not in PRESETS]:
            raise ValueError(f"There is no preset {unknown[0]!r}. Use some of {', '.join(OFFERED)}.")
        return presets

    @classmethod
    def _renamed(cls) -> dict[str, str]:
        values = super()._renamed()
        if "presets" in values:
            # The old setting named the preset that was loaded first. All were rendered.
            first = values["presets"]
            values["presets"] = ",".join((first, *(preset for preset in OFFERED if preset != first)))
        return values


class ProvenanceSettings(Settings):
    """The key that signs a C2PA manifest into each video; without one, videos have only their mark."""

    model_config = group("PROVENANCE")
    certificate_file: str = ""
    """PEM file with the certificate of the signer, then those of its issuers; empty: videos are not signed."""
    key_file: str = ""
    """PEM file with the private key in PKCS #8."""
    algorithm: Literal["es256", "es384", "ps256", "ed25519"] = "es256"
    """Signature algorithm of the key."""

    @model_validator(mode="after")
    def _a_key_has_a_certificate(self) -> Self:
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError(
                "One of DUBLINE_PROVENANCE_CERTIFICATE_FILE and DUBLINE_PROVENANCE_KEY_FILE is set. Set both or none."
            )
        return self


class LeaseSettings(Settings):
    """Lease duration and heartbeat period."""

    model_config = group("LEASE")
    duration_s: float = Field(default=20.0, gt=0)
    """A lease that is not renewed expires after this."""
    heartbeat_s: float = Field(default=4.0, gt=0)
    """Time between two renewals."""

    @model_validator(mode="after")
    def _a_lease_lasts_two_heartbeats(self) -> Self:
        if self.duration_s < 2 * self.heartbeat_s:
            raise ValueError(
                "DUBLINE_LEASE_DURATION_S is too short. Set it to at least twice DUBLINE_LEASE_HEARTBEAT_S."
            )
        return self
