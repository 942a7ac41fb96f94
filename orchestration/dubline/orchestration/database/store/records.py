"""Conversion of rows to the frozen records that the store returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from dubline.options.render import OPTIONS, RenderOptions, from_columns
from dubline.orchestration.domain.consent import Consent
from dubline.orchestration.domain.faces import faces_from_json
from dubline.orchestration.domain.jobs import Attempt, Cause, Job, JobState, Outcome, Stage
from dubline.orchestration.domain.uploads import Upload, UploadFacts, UploadKind, UploadState

if TYPE_CHECKING:
    from dubline.orchestration.database.rows import AttemptRow, JobRow, UploadRow


def upload_of(row: UploadRow) -> Upload:
    """Convert an upload row, or a result row with all its columns."""
    return Upload(
        id=row.id,
        tenant=row.tenant,
        kind=UploadKind(row.kind),
        state=UploadState(row.state),
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        consent=_consent_of(row),
        facts=_facts_of(row),
        error_code=row.error_code,
        error_detail=row.error_detail,
    )


def _consent_of(row: UploadRow) -> Consent | None:
    statement, subject, obtained_at = row.consent_statement, row.consent_subject, row.consent_obtained_at
    if statement is None or subject is None or obtained_at is None:
        return None
    return Consent(statement=statement, subject=subject, obtained_at=obtained_at)


def _facts_of(row: UploadRow) -> UploadFacts | None:
    if row.media_type is None or row.sha256 is None:
        return None
    box = row.face_box
    return UploadFacts(
        media_type=row.media_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        duration_s=row.duration_s,
        width_px=row.width_px,
        height_px=row.height_px,
        face_box=None if box is None else (box[0], box[1], box[2], box[3]),
        faces=faces_from_json(row.faces or ()),
    )


_OPTION_COLUMNS: Final = tuple(one.column for one in OPTIONS)


def job_of(row: JobRow) -> Job:
    """Convert a job row."""
    return Job(
        id=row.id,
        tenant=row.tenant,
        batch_id=row.batch_id,
        position=row.position,
        custom_id=row.custom_id,
        portrait_upload_id=row.portrait_upload_id,
        speech_upload_id=row.speech_upload_id,
        speech_s=row.speech_s,
        options=options_of(row),
        weights_sha256=row.weights_sha256,
        state=JobState(row.state),
        stage=None if row.stage is None else Stage(row.stage),
        progress_percent=row.progress_percent,
        attempt_count=row.attempt_count,
        gpu_s=row.gpu_s,
        error_code=row.error_code,
        error_detail=row.error_detail,
        result_key=row.result_key,
        result_size_bytes=row.result_size_bytes,
        result_sha256=row.result_sha256,
        result_duration_s=row.result_duration_s,
        result_deleted_at=row.result_deleted_at,
        created_at=row.created_at,
        deadline_at=row.deadline_at,
        started_at=row.started_at,
        finalized_at=row.finalized_at,
    )


def options_of(row: Any) -> RenderOptions:
    """Convert the render options of a job row, or of a result row with these columns."""
    return from_columns({column: getattr(row, column) for column in _OPTION_COLUMNS})


def attempt_of(row: AttemptRow) -> Attempt:
    """Convert an attempt row."""
    return Attempt(
        number=row.number,
        worker=row.worker,
        pool=row.pool,
        started_at=row.started_at,
        ended_at=row.ended_at,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        cause=None if row.cause is None else Cause(row.cause),
        error_code=row.error_code,
        error_detail=row.error_detail,
        gpu_s=row.gpu_s,
        refused_writes=row.refused_writes,
    )
