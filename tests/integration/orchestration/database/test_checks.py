"""CHECK constraints: the database refuses rows that no state allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from dubline.orchestration.database.store.transaction import transaction

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store

# What is wrong, and the change that makes a queued job illegal.
ILLEGAL_JOBS = {
    "an unknown state": "state = 'sleeping'",
    "running without a lease": ("state = 'running', stage = 'preparing', attempt_count = 1, started_at = now()"),
    "a lease without running": "lease_token = gen_random_uuid()",
    "a stage without running": "stage = 'muxing'",
    "a final state without an end": "state = 'cancelled'",
    "an end without a final state": "finalized_at = now()",
    "succeeded without a result": (
        "state = 'succeeded', finalized_at = now(), attempt_count = 1, started_at = now(), progress_percent = 100"
    ),
    "a result without success": "result_key = 'k'",
    "failed without a code": "state = 'failed', finalized_at = now()",
    "a code without failing": "error_code = 'x', error_detail = 'y'",
    "retrying before any attempt": "state = 'retrying'",
    "more than 100 percent": "progress_percent = 101",
    "a seed below zero": "seed = -1",
    "a control below zero": "head_motion = -0.5",
    "a control beyond its range": "shut_in_silence = 1.5",
    "a control that is not a number": "blink = 'NaN'",
    "a position without a batch": "position = 3",
    "an expiry date without a video": "results_expire_at = now()",
    "an incomplete render fingerprint": "weights_sha256 = 'w', render_batch = 4",
    "a render fingerprint without weights": "render_batch = 4, segment_frames = 100, encoder_threads = 2",
    "negative device time": "gpu_s = -1",
}
ILLEGAL_UPLOADS = {
    "ready without facts": "state = 'ready', finalized_at = now()",
    "a portrait without a face": (
        f"state = 'ready', finalized_at = now(), media_type = 'image/png', sha256 = '{'0' * 64}',"
        " width_px = 1, height_px = 1"
    ),
    "rejected without a code": "state = 'rejected', finalized_at = now()",
    "leased while pending": (
        "lease_token = gen_random_uuid(), lease_expires_at = now(), lease_worker = 'w', state = 'pending'"
    ),
    "an incomplete lease": "lease_token = gen_random_uuid()",
    "a size of zero": "size_bytes = 0",
}


ILLEGAL_ATTEMPTS = {
    "cancelled with another cause": "ended_at = now(), outcome = 'cancelled', cause = 'defect'",
    "failed with the cause cancelled": "ended_at = now(), outcome = 'failed', cause = 'cancelled'",
    "cancelled with an error": (
        "ended_at = now(), outcome = 'cancelled', cause = 'cancelled', error_code = 'x', error_detail = 'y'"
    ),
    "a negative number of refused writes": "refused_writes = -1",
}


def change(store: Store, statement: str) -> None:
    with transaction(store._engine) as session:
        session.execute(text(statement))


@pytest.mark.parametrize("wrong", ILLEGAL_JOBS)
def test_an_illegal_job_is_refused(store: Store, factory: JobFactory, wrong: str) -> None:
    factory.job()
    with pytest.raises(IntegrityError, match="CheckViolation"):
        change(store, f"UPDATE jobs SET {ILLEGAL_JOBS[wrong]}")  # noqa: S608 - our own text


@pytest.mark.parametrize("wrong", ILLEGAL_UPLOADS)
def test_an_illegal_upload_is_refused(store: Store, factory: JobFactory, wrong: str) -> None:
    factory.pending(factory.portrait.kind)
    with pytest.raises(IntegrityError, match="CheckViolation"):
        change(store, f"UPDATE uploads SET {ILLEGAL_UPLOADS[wrong]} WHERE state = 'pending'")  # noqa: S608


@pytest.mark.parametrize("wrong", ILLEGAL_ATTEMPTS)
def test_an_illegal_attempt_is_refused(store: Store, factory: JobFactory, wrong: str) -> None:
    factory.job()
    store.leases.claim("worker", 10)
    with pytest.raises(IntegrityError, match="CheckViolation"):
        change(store, f"UPDATE attempts SET {ILLEGAL_ATTEMPTS[wrong]}")  # noqa: S608 - our own text


def test_two_open_attempts_at_one_job_are_refused(store: Store, factory: JobFactory) -> None:
    factory.job()
    store.leases.claim("worker", 10)
    again = "INSERT INTO attempts (job_id, number, token, worker) SELECT id, 2, gen_random_uuid(), 'w' FROM jobs"
    with pytest.raises(IntegrityError, match="attempts_open"):
        change(store, again)
