"""Row classes of the tables. Their CHECK constraints enforce the state machines of jobs and uploads."""

from __future__ import annotations

from dubline.orchestration.database.rows.audit import AuditRow
from dubline.orchestration.database.rows.base import Base
from dubline.orchestration.database.rows.batches import BatchRow
from dubline.orchestration.database.rows.checkpoints import CheckpointRow
from dubline.orchestration.database.rows.events import EventRow
from dubline.orchestration.database.rows.holdings import HoldingRow
from dubline.orchestration.database.rows.jobs import AttemptRow, JobRow
from dubline.orchestration.database.rows.outbox import OutboxRow
from dubline.orchestration.database.rows.pending_deletion import PendingDeletionRow
from dubline.orchestration.database.rows.predictions import LearnedRateRow, WaitingWorkRow
from dubline.orchestration.database.rows.queue_clocks import QueueClockRow
from dubline.orchestration.database.rows.shares import ReservedSegmentRow, ShareRow
from dubline.orchestration.database.rows.tenants import ApiKeyRow, TenantRow
from dubline.orchestration.database.rows.uploads import UploadRow
from dubline.orchestration.database.rows.usage import UsageRow
from dubline.orchestration.database.rows.weights import WeightsRow
from dubline.orchestration.database.rows.workers import WorkerRow

__all__ = [
    "ApiKeyRow",
    "AttemptRow",
    "AuditRow",
    "Base",
    "BatchRow",
    "CheckpointRow",
    "EventRow",
    "HoldingRow",
    "JobRow",
    "LearnedRateRow",
    "OutboxRow",
    "PendingDeletionRow",
    "QueueClockRow",
    "ReservedSegmentRow",
    "ShareRow",
    "TenantRow",
    "UploadRow",
    "UsageRow",
    "WaitingWorkRow",
    "WeightsRow",
    "WorkerRow",
]
