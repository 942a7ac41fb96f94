"""Leases without I/O: the time-limited right of one worker to one attempt at one job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.orchestration.domain import object_keys

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from dubline.options.render import RenderOptions
    from dubline.orchestration.domain.jobs import Cause
    from dubline.orchestration.domain.uploads import Upload


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The time-limited right of one worker to one attempt at one job; its token fences every write."""

    job_id: UUID
    tenant: str
    attempt: int
    """Number of the attempt, from 1."""
    charged: Mapping[Cause, int]
    """Earlier attempts that count against the budgets, by cause: what retry.decide asks for."""
    token: UUID
    expires_at: datetime
    portrait: Upload
    """Ready: facts are present."""
    speech: Upload
    """Ready: facts are present."""
    options: RenderOptions

    @property
    def result_key(self) -> str:
        """Key in the bucket that belongs to this attempt alone."""
        return object_keys.result_key(self.job_id, self.attempt, self.token)

    @property
    def attempt_prefix(self) -> str:
        """Where in the bucket the checkpoints of this attempt go."""
        return object_keys.checkpoint_prefix(self.job_id, self.attempt, self.token)
