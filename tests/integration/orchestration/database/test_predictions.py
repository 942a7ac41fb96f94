from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from tests.integration.orchestration.conftest import PORTRAIT
from tests.integration.orchestration.rows import change, column

from dubline.orchestration.database.store.predictions import SUM_FROM
from dubline.orchestration.domain.backlog import Waiting
from dubline.orchestration.domain.checkpoints import Checkpoint, CheckpointKind, RenderFingerprint
from dubline.orchestration.domain.cost import crop_size
from dubline.orchestration.domain.jobs import Cause, JobState
from dubline.orchestration.domain.prediction import UNKNOWN, LearnedRate, learn

if TYPE_CHECKING:
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.leases import Lease

KEEP_S = 60.0
SIZE = "medium"
WORK_S = 10_000.0
FINGERPRINT = RenderFingerprint(
    weights_sha256="w", render_batch=8, segment_frames=120, encoder_threads=2, renderer_sha256="f" * 64
)


def claimed(store: Store, pool: str = "l4", took_s: float = 0.0) -> Lease:
    """Claim the next job, as if that was `took_s` seconds ago."""
    lease = store.leases.claim("host:1/2", KEEP_S, pool=pool)
    assert lease is not None
    change(
        store,
        "UPDATE attempts SET started_at = now() - make_interval(secs => :took) WHERE token = :token",
        took=took_s,
        token=lease.token,
    )
    return lease


def render(store: Store, factory: JobFactory, rate: float, pool: str = "l4", gpu_s: float = 1.0) -> None:
    """Render a job in `rate` times its work, which is so long that the time of the test itself does not matter."""
    job = factory.job()
    change(store, "UPDATE jobs SET work_s = :work_s WHERE id = :id", work_s=WORK_S, id=job.id)
    store.leases.finish(claimed(store, pool, rate * WORK_S), 1, 1.0, gpu_s)


def waiting(store: Store) -> tuple[int, float]:
    """Return the jobs and the work that triggers counted."""
    jobs = column(store, "SELECT sum(jobs) FROM waiting_work")[0] or 0
    work_ms = column(store, "SELECT sum(work_ms) FROM waiting_work")[0] or 0
    return int(jobs), float(work_ms) / 1000


def counted(store: Store) -> tuple[int, float]:
    jobs, work_s = (
        column(store, f"SELECT {what} FROM jobs WHERE state = 'queued'")[0]  # noqa: S608 - our own text
        for what in ("count(*)", "coalesce(sum(round(1000 * coalesce(work_s, cost_s, speech_s))), 0)")
    )
    return int(jobs), float(work_s) / 1000


def rate_of(store: Store, pool: str = "l4") -> float:
    return store.predictions.workload().predictor.rate("base", pool, SIZE).factor


def test_a_finished_attempt_is_learned_as_in_the_reference(store: Store, factory: JobFactory) -> None:
    expected = LearnedRate(preset="base", pool="l4", crop_size=SIZE, log_rate=0, variance=0, weight=0)
    for rate in (3.0, 4.0, 2.5, 400.0, 3.0, 1e-9, 3.5):
        render(store, factory, rate)
        expected = learn(expected, math.log(rate))
        (log_rate,) = column(store, "SELECT log_rate FROM learned_rates")
        assert log_rate == pytest.approx(expected.log_rate, abs=0.01)
    (variance,), (weight,) = (column(store, f"SELECT {name} FROM learned_rates") for name in ("variance", "weight"))  # noqa: S608
    assert variance == pytest.approx(expected.variance, rel=0.05)
    assert weight == pytest.approx(expected.weight, rel=0.01)


@pytest.mark.parametrize("took_s", [-3600.0, 0.0, 1e12])
def test_no_time_of_an_attempt_prevents_its_end(store: Store, factory: JobFactory, took_s: float) -> None:
    for _ in range(3):
        render(store, factory, 2.0)
    before = rate_of(store)
    job = factory.job()
    lease = claimed(store)
    start = "now() - make_interval(secs => :took)" if took_s < 1e12 else "'-infinity'"
    change(store, f"UPDATE attempts SET started_at = {start} WHERE token = :token", took=took_s, token=lease.token)  # noqa: S608
    store.leases.finish(lease, 1, 1.0, 1e12)
    assert store.jobs.get("acme", job.id).state is JobState.SUCCEEDED
    assert before / 2 < rate_of(store) < 2 * before


def test_the_device_seconds_that_a_worker_reports_teach_nothing(store: Store, factory: JobFactory) -> None:
    for gpu_s in (0.0, -5.0, 1e9):
        render(store, factory, 2.0, gpu_s=gpu_s)
    assert math.exp(column(store, "SELECT log_rate FROM learned_rates")[0]) == pytest.approx(2.0, rel=0.01)


def test_only_attempts_that_succeeded_are_learned(store: Store, factory: JobFactory) -> None:
    for _ in range(4):
        factory.job()
    store.leases.release(claimed(store))
    store.leases.retry(claimed(store), Cause.TRANSIENT, "c", "d", 60)
    store.leases.fail(claimed(store), Cause.DEFECT, "c", "d")
    store.jobs.cancel("acme", claimed(store).job_id)
    assert column(store, "SELECT count(*) FROM learned_rates") == [0]


def test_a_resumed_attempt_counts_for_what_it_rendered(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    change(store, "UPDATE jobs SET work_s = :work_s WHERE id = :id", work_s=WORK_S, id=job.id)
    first = claimed(store)
    store.leases.load_checkpoints(first, FINGERPRINT)
    for number in (0, 1):
        kept = Checkpoint(
            kind=CheckpointKind.SEGMENT, number=number, object_key=f"k/{number}", size_bytes=1, sha256="0" * 64
        )
        store.leases.save_checkpoint(first, kept)
    store.leases.release(first)
    second = claimed(store, took_s=WORK_S)
    kept = Checkpoint(kind=CheckpointKind.SEGMENT, number=2, object_key="k/2", size_bytes=1, sha256="0" * 64)
    store.leases.save_checkpoint(second, kept)
    store.leases.finish(second, 1, 1.0)
    # Of four segments it rendered two: one was kept, the last one never is.
    assert math.exp(column(store, "SELECT log_rate FROM learned_rates")[0]) == pytest.approx(2.0, rel=0.01)
    assert column(store, "SELECT weight FROM learned_rates") == [0.5]


def test_a_rate_that_another_attempt_changes_is_left_alone(store: Store, factory: JobFactory) -> None:
    render(store, factory, 2.0)
    job = factory.job()
    lease = claimed(store, took_s=WORK_S)
    with store._engine.connect() as other:
        other.exec_driver_sql("SELECT * FROM learned_rates FOR UPDATE")
        store.leases.finish(lease, 1, 1.0)
        other.rollback()
    assert store.jobs.get("acme", job.id).state is JobState.SUCCEEDED
    assert column(store, "SELECT weight FROM learned_rates") == [1]


def test_two_pools_learn_rates_of_their_own(store: Store, factory: JobFactory) -> None:
    for _ in range(10):
        render(store, factory, 0.1, "h200")
        render(store, factory, 3.0, "cpu")
    assert rate_of(store, "h200") == pytest.approx(0.1, rel=0.3)
    assert rate_of(store, "cpu") == pytest.approx(3.0, rel=0.3)


def test_the_cost_follows_the_ratio_of_the_presets_and_never_changes(store: Store, factory: JobFactory) -> None:
    jobs = [factory.job()]
    for _ in range(10):
        render(store, factory, 1.0)
    jobs.append(factory.job())
    change(
        store,
        "INSERT INTO learned_rates (preset, pool, crop_size, log_rate, variance, weight)"
        " SELECT 'tiny', pool, crop_size, log_rate - ln(2), variance, weight FROM learned_rates",
    )
    jobs += [factory.job(), store.jobs.insert("acme", factory.new(preset="tiny"))]
    costs = [column(store, "SELECT cost_s / work_s FROM jobs WHERE id = :id", id=job.id)[0] for job in jobs]
    assert costs[:2] == [1, 1]
    assert costs[2] / costs[3] == pytest.approx(2, rel=0.2)
    keys = column(store, "SELECT order_key FROM jobs ORDER BY created_at")
    assert keys == sorted(keys)


def test_before_the_first_job_the_work_itself_is_predicted(store: Store, factory: JobFactory) -> None:
    for _ in range(3):
        factory.job()
    lease = claimed(store)
    assert crop_size(PORTRAIT, lease.options) == SIZE
    change(store, "UPDATE jobs SET progress_percent = 75 WHERE state = 'running'")
    (work_s,) = column(store, "SELECT work_s FROM jobs WHERE id = :id", id=lease.job_id)
    workload = store.predictions.workload()
    assert workload.workers == {"l4": 1}
    assert workload.times("l4", Waiting.CLAIMABLE)["base"].device_s == pytest.approx(2 * work_s, abs=0.01)
    running = workload.times("l4", Waiting.RUNNING)["base"]
    assert (running.jobs, running.device_s) == (1, pytest.approx(work_s / 4))
    assert running.error_s / running.device_s == pytest.approx(UNKNOWN.job_error)
    assert workload.times("other", Waiting.RUNNING) == {}


def test_every_change_of_the_queue_is_counted(store: Store, factory: JobFactory) -> None:
    jobs = [factory.job() for _ in range(5)]
    store.batches.insert("acme", [factory.new(preset="tiny") for _ in range(7)], None, "hash")
    assert waiting(store) == counted(store)
    assert counted(store)[0] == 12
    store.jobs.cancel("acme", jobs[4].id)
    store.deletions.job("acme", jobs[3].id, "test")
    store.leases.release(claimed(store))
    store.leases.retry(claimed(store), Cause.TRANSIENT, "c", "d", 0)
    store.leases.finish(claimed(store), 1, 1.0)
    change(store, "UPDATE jobs SET work_s = 9, crop_size = 'huge' WHERE preset = 'tiny'")
    assert waiting(store) == pytest.approx(counted(store))
    assert sum(one.jobs for one in store.predictions.workload().work if one.waiting is Waiting.CLAIMABLE) == 9
    change(store, "DELETE FROM attempts")
    change(store, "DELETE FROM jobs")
    assert waiting(store) == (0, 0)


def test_many_changes_are_replaced_by_their_sum(store: Store, factory: JobFactory) -> None:
    for _ in range(SUM_FROM // 2):
        factory.job()
        claimed(store)
    factory.job()
    expected = waiting(store)
    assert store.predictions.sum_up() == 1
    assert column(store, "SELECT count(*) FROM waiting_work") == [1]
    assert waiting(store) == expected == counted(store)
    assert store.predictions.sum_up() == 0


def test_a_job_of_the_previous_version_is_predicted_by_its_cost(store: Store, factory: JobFactory) -> None:
    factory.job()
    change(store, "UPDATE jobs SET work_s = NULL, crop_size = NULL, cost_s = 8000")
    (one,) = store.predictions.workload().work
    assert (one.crop_size, one.work_s) == ("medium", 8000)
    store.leases.finish(claimed(store, took_s=16_000), 1, 1.0)
    assert math.exp(column(store, "SELECT log_rate FROM learned_rates")[0]) == pytest.approx(2.0, rel=0.01)
