"""Leases: the time-limited right of one worker to one attempt at one job."""

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
    from dubline.orchestration.domain.weights import Pin


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The time-limited right of one worker to one attempt at one job. Its token is the fencing token of every write."""

    job_id: UUID
    tenant: str
    attempt: int
    """Number of the attempt, from 1."""
    charged: Mapping[Cause, int]
    """What earlier attempts are charged against the budget of each cause (see `domain.retry`)."""
    alone: bool = False
    """Whether it is a further attempt and every other live worker failed this job too, or there is none."""
    token: UUID
    expires_at: datetime
    portrait: Upload
    """Ready, so its facts are set."""
    speech: Upload
    """Ready, so its facts are set."""
    options: RenderOptions
    weights: Pin | None = None
    """Version of the weights; None: the worker chooses."""
    accepted_at: datetime
    """When the job was accepted."""
    traceparent: str | None = None
    """Span of the request that inserted the job; None without tracing."""

    @property
    def result_key(self) -> str:
        """Key of the video of this attempt."""
        return object_keys.result_key(self.job_id, self.attempt, self.token)

    @property
    def attempt_prefix(self) -> str:
        """Prefix of the keys of this attempt's checkpoints."""
        return object_keys.checkpoint_prefix(self.job_id, self.attempt, self.token)
