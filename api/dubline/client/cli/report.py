"""Text reports of jobs, batches and outcomes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dubline.client.calls.responses import Batch, Job
    from dubline.client.runs.outcome import Outcome

_FAULTS_SHOWN: Final = 50


def of_outcomes(outcomes: Sequence[Outcome], out: Path, took_s: float) -> Iterator[str]:
    """Summarise a batch: each failure with its code and message, then the number of videos and their folder."""
    faults = [outcome for outcome in outcomes if outcome.fault]
    for outcome in faults[:_FAULTS_SHOWN]:
        yield f"  failed  {outcome.name}  {outcome.fault}"
    if len(faults) > _FAULTS_SHOWN:
        yield f"  ... and {len(faults) - _FAULTS_SHOWN} more"
    done = len(outcomes) - len(faults)
    yield f"{done} of {len(outcomes)} videos are in {out} after {took_s:.1f} s."


def of_unfetched(jobs: Sequence[Job]) -> Iterator[str]:
    """Count the jobs without a video."""
    open_count = sum(not job.is_final for job in jobs)
    failed = sum(job.is_final and job.state != "succeeded" for job in jobs)
    if open_count:
        yield f"{open_count} of {len(jobs)} jobs are not finished. Run the command again later."
    if failed:
        yield f"{failed} of {len(jobs)} jobs failed or were cancelled and have no video."


def of_job(job: Job) -> Iterator[str]:
    """Describe a job with its attempts."""
    name = f" ({job.custom_id})" if job.custom_id else ""
    stage = f", {job.stage}" if job.stage else ""
    yield f"job {job.id}{name}: {job.state}{stage}, {job.percent:.0f} %"
    if job.eta_s is not None:
        yield f"  about {job.eta_s:.0f} s to go{_error(job.eta_error_s)}"
    for attempt in job.attempts:
        cause = f", {attempt.cause}" if attempt.cause else ""
        held = f", {attempt.gpu_s:.1f} s on the device" if attempt.gpu_s else ""
        yield f"  attempt {attempt.number}: {attempt.outcome or 'running'}{cause}{held}"
    if job.error:
        yield f"  {job.error}"
    if job.result and job.result.url:
        yield f"  {job.result.url}"
    if job.result_deleted_at:
        yield f"  the video was deleted at {job.result_deleted_at}"


def _error(seconds: float | None) -> str:
    return "" if seconds is None else f", give or take {seconds:.0f} s"


def of_deletion(noun: str, identifier: str, audit_id: str | None) -> str:
    """Describe a deletion with its audit entry."""
    kept = f" Audit entry: {audit_id}." if audit_id else ""
    return f"{noun} {identifier} is deleted.{kept}"


def of_batch(batch: Batch, jobs: Sequence[Job]) -> Iterator[str]:
    """Describe a batch with its failed jobs."""
    counts = ", ".join(f"{count} {state}" for state, count in batch.counts.items() if count)
    yield f"batch {batch.id}: {counts or 'no jobs'}, {batch.percent:.0f} %"
    if batch.eta_s is not None:
        yield f"  about {batch.eta_s:.0f} s to go{_error(batch.eta_error_s)}"
    for job in jobs:
        if job.error:
            yield f"  failed  {job.custom_id or job.id}  {job.error}"
