"""The tables: SQLAlchemy row classes whose CHECK constraints are the state machines of jobs and uploads."""

from dubline.orchestration.rows.audit import AuditRow, DoomedObjectRow
from dubline.orchestration.rows.base import Base
from dubline.orchestration.rows.batches import BatchRow
from dubline.orchestration.rows.checkpoints import CheckpointRow
from dubline.orchestration.rows.jobs import AttemptRow, JobRow
from dubline.orchestration.rows.outbox import OutboxRow
from dubline.orchestration.rows.tenants import ApiKeyRow, TenantRow
from dubline.orchestration.rows.uploads import UploadRow

__all__ = [
    "ApiKeyRow",
    "AttemptRow",
    "AuditRow",
    "Base",
    "BatchRow",
    "CheckpointRow",
    "DoomedObjectRow",
    "JobRow",
    "OutboxRow",
    "TenantRow",
    "UploadRow",
]
