from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dubline.orchestration.domain.backlog import Waiting
from dubline.orchestration.domain.eta import Open, Queued, QueueView
from dubline.orchestration.domain.prediction import LearnedRate, Predictor
from dubline.orchestration.domain.workload import Work, Workload

RATE = LearnedRate(preset="base", pool="l4", crop_size="medium", log_rate=0.0, variance=0.0, weight=1e6)
#: Two tenants, with 10 and 4 waiting jobs of 10 s; the first began earlier, so its jobs have smaller keys.
TENANTS = (Queued(first=100.0, end=200.0), Queued(first=120.0, end=160.0))


def view(workers: int, running: int = 0, learned: tuple[LearnedRate, ...] = (RATE,)) -> QueueView:
    waiting = Work(waiting=Waiting.CLAIMABLE, pool=None, preset="base", crop_size="medium", jobs=14, work_s=140.0)
    left = replace(waiting, waiting=Waiting.RUNNING, pool="l4", jobs=running, work_s=5.0 * running)
    work = (waiting, left) if running else (waiting,)
    return QueueView(
        workload=Workload(work=work, workers={"l4": workers} if workers else {}, predictor=Predictor(learned)),
        tenants=TENANTS,
    )


def job(order_key: float, *, waits: bool = True) -> Open:
    return Open(order_key=order_key, preset="base", crop_size="medium", work_s=10.0, waits=waits)


@pytest.mark.parametrize(
    ("order_key", "workers", "running", "expected_s"),
    [
        # The first of the queue: an idle worker takes it, or the first of the busy ones that ends.
        (100.0, 4, 0, 10.0),
        (100.0, 2, 2, 5.0 + 10.0),
        # Ahead are three jobs of its own tenant and one of the other.
        (130.0, 1, 0, 30.0 + 10.0 + 10.0),
        (130.0, 4, 4, 40.0 / 4 + 5.0 + 10.0),
        # The last job: all others are ahead.
        (190.0, 1, 0, 90.0 + 40.0 + 10.0),
    ],
)
def test_a_job_waits_for_what_is_ahead_of_it(order_key: float, workers: int, running: int, expected_s: float) -> None:
    eta = view(workers, running).eta(job(order_key))
    assert eta is not None
    assert eta.seconds == pytest.approx(expected_s, rel=0.01)


def test_costs_are_converted_to_predicted_seconds() -> None:
    # What costs a second takes a tenth.
    eta = view(1, learned=(replace(RATE, log_rate=-2.302585),)).eta(job(190.0))
    assert eta is not None
    assert eta.seconds == pytest.approx(14.0, rel=0.01)


def test_the_error_shrinks_with_what_was_learned() -> None:
    few, many = (view(1, learned=learned).eta(job(190.0)) for learned in ((), (replace(RATE, weight=20.0),)))
    assert few is not None
    assert many is not None
    assert many.error_s < few.error_s / 3
    assert few.error_s > few.seconds / 2


def test_without_a_worker_nobody_knows_when_a_waiting_job_is_done() -> None:
    assert view(0).eta(job(100.0)) is None
    running = view(0).eta(job(100.0, waits=False))
    assert running is not None
    assert running.seconds == pytest.approx(10.0, rel=0.01)


def test_the_error_of_what_is_ahead_is_divided_by_the_workers_too() -> None:
    last = job(190.0)
    alone, four = (view(workers).eta(last) for workers in (1, 4))
    own = view(1).eta(replace(last, waits=False))
    assert alone is not None
    assert four is not None
    assert own is not None
    before_s = math.sqrt(alone.error_s**2 - own.error_s**2)
    assert math.sqrt(four.error_s**2 - own.error_s**2) == pytest.approx(before_s / 4)
    assert own.error_s == pytest.approx(own.seconds * Predictor([RATE]).rate("base", None, "medium").job_error)
