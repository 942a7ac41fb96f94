"""The simulated cluster: conservation of jobs, and traces that are checked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from dubline.orchestration.scaling.policy import Policy
from dubline.orchestration.scaling.simulation.cluster import Cluster, simulate
from dubline.orchestration.scaling.simulation.conditions import Conditions
from dubline.orchestration.scaling.simulation.horizontal import Keda, Utilization, waiting
from dubline.orchestration.scaling.simulation.own import Own
from dubline.orchestration.scaling.simulation.policies import candidates
from dubline.orchestration.scaling.simulation.traces import Arrival, Trace, generate

#: Machines without any chance.
EXACT = Conditions(cold_start_sigma=0.0, failed_share=0.0, spot_life_s=math.inf)
#: Machines that fail often.
ROUGH = Conditions(failed_share=0.2, spot_life_s=3600.0)
SHORT = Trace(tuple(Arrival(7.0 * number, 90.0 + number, 95.0, "base") for number in range(150)), 7200.0)


def policy(conditions: Conditions) -> Policy:
    return Policy(
        pool="gpu",
        ceiling=50,
        cold_start_s=conditions.cold_start_s,
        cooldown_s=conditions.cold_start_s,
        start_limit_s=conditions.start_limit_s,
    )


def job(at_s: float, device_s: float) -> Arrival:
    return Arrival(at_s, device_s, device_s, "base")


@pytest.mark.parametrize("number", range(6))
def test_every_job_is_finished_once_under_each_policy(number: int) -> None:
    candidate = candidates(ROUGH)[number]
    value = candidate.values[2]
    outcome = simulate(SHORT, candidate.build(value), ROUGH, seed=3)
    assert len(outcome.waits_s) == len(SHORT.arrivals)
    assert min(outcome.waits_s) >= 90.0
    assert outcome.work_s == sum(arrival.device_s for arrival in SHORT.arrivals)
    assert outcome.device_s > outcome.work_s
    assert outcome.lost > 0


@pytest.mark.parametrize("number", [0, 1])
def test_the_policies_of_the_service_kill_no_job(number: int) -> None:
    candidate = candidates(ROUGH)[number]
    assert simulate(SHORT, candidate.build(candidate.values[2]), ROUGH, seed=3).killed == 0


def test_a_simulation_is_repeated_exactly() -> None:
    first, second = (simulate(SHORT, Own(policy(ROUGH)), ROUGH, seed=5) for _ in range(2))
    assert first == second
    assert simulate(SHORT, Own(policy(ROUGH)), ROUGH, seed=6) != first


def test_one_job_on_one_worker_is_as_calculated_by_hand() -> None:
    """Requested at the decision of 30 s, ready at 630 s, finished at 730 s, idle until 600 s after the last need.

    The decision of 720 s is the last that sees work, so the one of 1320 s removes the worker.
    """
    outcome = simulate(Trace((job(10.0, 100.0),), 7200.0), Own(policy(EXACT)), EXACT, seed=0)
    assert outcome.waits_s == [720.0]
    assert (outcome.device_s, outcome.work_s) == (1320.0 - 30.0, 100.0)


def test_two_jobs_share_a_worker_if_both_are_in_time() -> None:
    outcome = simulate(Trace((job(10.0, 100.0), job(20.0, 200.0)), 7200.0), Own(policy(EXACT)), EXACT, seed=0)
    assert outcome.waits_s == [720.0, 910.0]
    assert outcome.device_s == 900.0 + 600.0 - 30.0


def test_rests_of_sums_keep_no_worker() -> None:
    cluster = Cluster(EXACT, seed=0)
    for number in range(9):
        cluster.arrive(job(0.0, 0.1 * number))
    cluster.scale(1, idle_only=True)
    cluster.advance(1000.0)
    assert cluster.backlog_s == 0.0


def test_a_list_of_waiting_jobs_kills_the_running_one_again_and_again() -> None:
    """The list is empty while the only job runs, so KEDA scales to zero 300 s after the last decision that saw it.

    A worker is ready 600 s after its request; the decision 15 s before is the last that sees the job. After 285 s of
    work it is killed, and 270 s in finished segments are kept, of which 5 s are lost by resuming. After 7 times
    145 s are left. The eighth worker is requested at 6315 s, and the simulation ends with the decision of 7065 s.
    """
    outcome = simulate(Trace((job(10.0, 2000.0),), 60.0), Keda(50, waiting, 1.0), EXACT, seed=0)
    assert (outcome.killed, outcome.waits_s) == (7, [7050.0])
    assert outcome.device_s == 7 * 885.0 + 7065.0 - 6315.0


def test_a_lost_machine_is_replaced_and_its_job_goes_on() -> None:
    conditions = replace(EXACT, spot_life_s=1e-9)
    cluster = Cluster(conditions, seed=0)
    cluster.scale(1, idle_only=True)
    cluster.conditions = EXACT
    cluster.advance(1.0)
    assert (cluster.requested, len(cluster.starting)) == (1, 1)
    assert next(iter(cluster.starting)).requested_s < 1.0


def test_a_worker_that_fails_is_withdrawn_and_another_requested() -> None:
    failing = replace(EXACT, failed_share=0.5)
    outcomes = [simulate(Trace((job(10.0, 100.0),), 60.0), Own(policy(failing)), failing, seed) for seed in range(12)]
    waits_s = sorted(outcome.waits_s[0] for outcome in outcomes)
    # The first start succeeds, or it is withdrawn after more than 1800 s and another follows after a pause of 60 s.
    assert waits_s[0] == 720.0
    assert 720.0 + 1800.0 + 60.0 <= next(wait_s for wait_s in waits_s if wait_s > 720.0) <= 720.0 + 1830.0 + 90.0


def ready(workers: int, busy: int) -> Cluster:
    cluster = Cluster(EXACT, seed=0)
    cluster.scale(workers, idle_only=True)
    cluster.advance(600.0)
    for _ in range(busy):
        cluster.arrive(job(600.0, 5000.0))
    return cluster


@pytest.mark.parametrize(("number", "workers"), [(4, 4), (4.3, 4), (4.6, 5), (100, 8), (3.7, 4), (3.5, 4)])
def test_keda_tolerates_a_tenth_and_at_most_doubles(number: float, workers: int) -> None:
    assert Keda(50, lambda _: number, 1.0).workers(ready(4, 0)) == workers


def test_keda_removes_pods_after_five_minutes_of_lower_numbers() -> None:
    numbers = [4.0] + [1.0] * 21
    keda, cluster = Keda(50, lambda _: numbers.pop(0), 1.0), ready(4, 0)
    counts = []
    while numbers:
        counts.append(keda.workers(cluster))
        cluster.advance(cluster.at_s + 15.0)
    assert counts == [4] * 20 + [1, 1]


@pytest.mark.parametrize(
    ("pods", "busy", "target", "workers"),
    [(4, 4, 0.5, 8), (4, 3, 0.7, 4), (4, 4, 0.8, 5), (1, 0, 0.8, 1), (4, 4, 0.95, 4)],
)
def test_the_use_of_devices_gives_the_pods_in_proportion(pods: int, busy: int, target: float, workers: int) -> None:
    assert Utilization(50, target).workers(ready(pods, busy)) == workers


def test_pods_that_start_count_as_unused_before_more_are_added() -> None:
    cluster = ready(4, 4)
    cluster.scale(8, idle_only=True)
    # All four ready pods are busy, but with the four that start the use is 50 %.
    assert Utilization(50, 0.5).workers(cluster) == 8
    assert Utilization(50, 0.4).workers(cluster) == 10


def test_a_burst_is_finished_in_time_without_a_killed_job() -> None:
    conditions = Conditions()
    outcome = simulate(generate("bursty", 0), Own(replace(policy(conditions), target_s=2880.0)), conditions, seed=0)
    assert outcome.attained(conditions.wait_target_s) >= 0.95
    assert outcome.killed == 0
    assert outcome.ratio <= 1.4
