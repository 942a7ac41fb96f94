"""A defective worker stops itself; defective jobs stop no worker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.rows import change

from dubline.options.render import RenderOptions
from dubline.orchestration.domain.errors import DeviceFailedError, MediaTruncatedError
from dubline.orchestration.domain.events import Cursor, EventKind
from dubline.orchestration.domain.jobs import JobState, NewJob, Stage
from dubline.orchestration.domain.quarantine import FAILURES_IN_A_ROW, UNFINISHED_TEST
from dubline.worker.rendering import pipeline
from dubline.worker.rendering.job import Rendered
from dubline.worker.runtime.loop import QuarantinedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.job import RenderJob, Report

    Insert = Callable[[], UUID]
    Break = Callable[..., None]


@pytest.fixture
def insert(store: Store, tenant: str, ready: tuple[UUID, UUID]) -> Insert:
    new = NewJob(portrait_upload_id=ready[0], speech_upload_id=ready[1], options=RenderOptions(seed=3))
    return lambda: store.jobs.insert(tenant, new).id


@pytest.fixture
def breaks(monkeypatch: pytest.MonkeyPatch) -> Break:
    """Let renders fail; the argument tells which. The others write a file without rendering."""

    def breaks(fails: Callable[[RenderJob], bool], error: Exception | None = None) -> None:
        def run(_: pipeline.Renderer, job: RenderJob, scratch: Path, report: Report, _checkpoints: object) -> Rendered:
            report(Stage.PREPARING, 0.0)
            if fails(job):
                raise error or KeyError("broken")
            (scratch / "video.mp4").write_bytes(b"video")
            return Rendered(path=scratch / "video.mp4", duration_s=1.0)

        monkeypatch.setattr(pipeline.Renderer, "run", run)

    return breaks


def is_a_tenants(job: RenderJob) -> bool:
    """The self-test's file has no mark."""
    return bool(job.mark)


def restarted(worker: RenderExecutor) -> RenderExecutor:
    """Make the executor of the next process."""
    return replace(worker, health=replace(worker.health))


def quarantines(store: Store) -> int:
    return len(list(store.events.after(Cursor(), {EventKind.WORKER_QUARANTINED})))


def test_a_run_of_defective_jobs_quarantines_no_worker(
    store: Store, worker: RenderExecutor, insert: Insert, breaks: Break
) -> None:
    breaks(is_a_tenants)
    for _ in range(FAILURES_IN_A_ROW + 1):
        insert()
        assert worker.run_next()
    assert store.workers.read("worker") == (1, 0.0)
    assert quarantines(store) == 0
    breaks(lambda _: False)
    insert()
    assert worker.run_next()
    assert store.workers.read("worker") == (0, 0.0)


def test_a_defective_worker_claims_no_job_after_its_third_failure(
    store: Store, tenant: str, worker: RenderExecutor, insert: Insert, breaks: Break
) -> None:
    breaks(lambda _: True)
    jobs = [insert() for _ in range(5)]
    for _ in range(FAILURES_IN_A_ROW):
        assert worker.run_next()
    # The jobs may have spoilt this process, so a new one decides.
    with pytest.raises(DeviceFailedError):
        worker.run_next()
    assert store.workers.read("worker") == (FAILURES_IN_A_ROW, 0.0)
    worker = restarted(worker)
    for _ in range(2):
        with pytest.raises(QuarantinedError):
            worker.run_next()
    assert sorted(store.jobs.get(tenant, one).attempt_count for one in jobs) == [0, 0, 1, 1, 1]
    assert quarantines(store) == 1
    assert list(worker.folder.iterdir()) == []


def test_a_worker_that_died_in_its_self_test_is_quarantined(store: Store, worker: RenderExecutor) -> None:
    for _ in range(FAILURES_IN_A_ROW):
        store.workers.failed("worker/1")
    store.workers.begin_test("worker/1")
    with pytest.raises(QuarantinedError):
        worker.run_next()
    assert 0 < store.workers.read("worker")[1] < UNFINISHED_TEST


def test_a_worker_tests_itself_again_after_its_quarantine(
    store: Store, worker: RenderExecutor, insert: Insert, breaks: Break
) -> None:
    breaks(lambda _: True)
    for _ in range(FAILURES_IN_A_ROW):
        store.workers.failed("worker/1")
    for ended in (1, 2):
        with pytest.raises(QuarantinedError):
            restarted(worker).run_next()
        assert quarantines(store) == ended
        change(store, "UPDATE workers SET quarantined_until = now()")
    breaks(lambda _: False)
    insert()
    assert worker.run_next()
    assert store.workers.read("worker") == (0, 0.0)


def test_the_only_worker_ends_no_job_before_its_self_test(
    store: Store, tenant: str, worker: RenderExecutor, insert: Insert, breaks: Break
) -> None:
    breaks(lambda _: True)
    job = insert()
    for _ in range(FAILURES_IN_A_ROW):
        assert worker.run_next()
        change(store, "UPDATE jobs SET available_at = now()")
    with pytest.raises(QuarantinedError):
        restarted(worker).run_next()
    assert store.jobs.get(tenant, job).state is JobState.RETRYING


def test_a_worker_that_refuses_a_probed_file_is_at_fault(
    store: Store, tenant: str, worker: RenderExecutor, insert: Insert, breaks: Break
) -> None:
    breaks(is_a_tenants, MediaTruncatedError())
    job = insert()
    assert worker.run_next()
    assert store.jobs.get(tenant, job).state is JobState.RETRYING
    assert store.workers.read("worker") == (1, 0.0)
