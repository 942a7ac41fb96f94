from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dubline.orchestration.domain.backlog import Waiting
from dubline.orchestration.domain.prediction import (
    HALF_LIFE_ATTEMPTS,
    HALF_LIFE_S,
    UNKNOWN,
    LearnedRate,
    Predictor,
    learn,
)
from dubline.orchestration.domain.workload import Work, Workload

NOTHING = LearnedRate(preset="base", pool="l4", crop_size="medium", log_rate=0.0, variance=0.0, weight=0.0)


def learned(rates: list[float], pool: str = "l4") -> LearnedRate:
    after = replace(NOTHING, pool=pool)
    for rate in rates:
        after = learn(after, math.log(rate))
    return after


def noisy(rate: float, count: int, seed: int = 0) -> list[float]:
    chance = random.Random(seed)  # noqa: S311 - no secret
    return [rate * math.exp(chance.gauss(0, 0.2)) for _ in range(count)]


def test_a_rate_is_the_mean_of_the_distribution_that_was_learned() -> None:
    one = replace(NOTHING, log_rate=1.0, variance=0.2, weight=1.5)
    rate = Predictor([one]).rate("base", "l4", "medium")
    # The variance, with the prior as half an attempt: (0.5 * 1 + 1.5 * 0.2) / 2. The mean is above the middle.
    assert rate.deviation == pytest.approx(math.sqrt(0.4))
    assert rate.error == pytest.approx(math.sqrt(0.4 / 2))
    assert rate.factor == pytest.approx(math.exp(1.0 + 0.4 / 2 * 1.5 / 2))


def test_a_preset_is_predicted_by_the_pools_that_rendered_it() -> None:
    base, tiny = learned([10.0] * 40, "cpu"), replace(learned([0.1] * 40, "h200"), preset="tiny")
    predictor = Predictor([base, tiny])
    assert predictor.rate("base", None, "medium") == predictor.rate("base", "cpu", "medium")
    assert predictor.rate("tiny", None, "medium") == predictor.rate("tiny", "h200", "medium")
    assert 0.1 < predictor.rate("other", None, "medium").factor < 10.0


def test_before_the_first_attempt_the_work_itself_is_predicted() -> None:
    assert Predictor().rate("base", "l4", "medium") == UNKNOWN
    assert Predictor().rate("base", None, "medium") == UNKNOWN
    assert UNKNOWN.factor == 1
    assert UNKNOWN.error > 1


@pytest.mark.parametrize("rate", [0.02, 1.0, 20.0])
def test_the_rate_converges_and_its_error_shrinks(rate: float) -> None:
    attempts = noisy(rate, 200)
    errors = []
    for count in (1, 5, 20, 200):
        predicted = Predictor([learned(attempts[:count])]).rate("base", "l4", "medium")
        errors.append(predicted.error)
    assert predicted.factor == pytest.approx(rate, rel=0.2)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.1
    assert predicted.deviation == pytest.approx(0.2, abs=0.1)


@given(st.integers(0, 1000), st.integers(2, 100), st.floats(-1e9, 1e9))
def test_one_attempt_does_not_double_the_prediction(seed: int, count: int, log_rate: float) -> None:
    before = learned(noisy(3.0, count, seed))
    after = learn(before, log_rate)
    factors = [Predictor([one]).rate("base", "l4", "medium").factor for one in (before, after)]
    assert 1 / 2 < factors[1] / factors[0] < 2


def test_the_machine_may_become_ten_times_slower() -> None:
    after = learned(noisy(1.0, 100) + noisy(10.0, 300))
    assert Predictor([after]).rate("base", "l4", "medium").factor == pytest.approx(10, rel=0.2)


def test_an_attempt_counts_half_after_the_half_life() -> None:
    steady = learned([1.0] * 200)
    moved = learn(steady, 0.5)
    later = moved
    for _ in range(HALF_LIFE_ATTEMPTS):
        later = learn(later, 0.0)
    assert later.log_rate == pytest.approx(moved.log_rate / 2, rel=0.05)


def test_after_a_week_a_rate_weighs_half() -> None:
    steady = learned([1.0] * 200)
    assert learn(steady, 0.0, elapsed_s=HALF_LIFE_S).weight == pytest.approx(1 + (steady.weight - 1) / 2, rel=0.05)
    assert learn(steady, 0.0, elapsed_s=-HALF_LIFE_S).weight == learn(steady, 0.0).weight


def test_pools_have_rates_of_their_own() -> None:
    predictor = Predictor([learned([0.1] * 40, "h200"), learned([2.0] * 40, "cpu")])
    assert predictor.rate("base", "h200", "medium").factor == pytest.approx(0.1, rel=0.1)
    assert predictor.rate("base", "cpu", "medium").factor == pytest.approx(2.0, rel=0.1)
    assert 0.1 < predictor.rate("base", None, "medium").factor < 2.0


def test_the_cost_in_the_fair_queue_has_no_unit() -> None:
    for rate in (0.01, 1.0, 100.0):
        base, tiny = learned([rate] * 20), replace(learned([rate / 2] * 20), preset="tiny")
        assert Predictor([base]).fair_factor("base", "medium") == pytest.approx(1)
        assert Predictor([base]).fair_factor("tiny", "huge") == pytest.approx(1, rel=0.2)
        both = Predictor([base, tiny])
        assert both.fair_factor("base", "medium") / both.fair_factor("tiny", "medium") == pytest.approx(2, rel=0.2)
    assert Predictor().fair_factor("base", "medium") == 1


def test_what_is_known_of_a_pool_is_the_prior_of_its_other_presets() -> None:
    predictor = Predictor([learned([0.1] * 40, "h200")])
    for preset, size in (("base", "huge"), ("tiny", "small")):
        rate = predictor.rate(preset, "h200", size)
        assert rate.factor == pytest.approx(0.1, rel=0.1)
        assert rate.error == UNKNOWN.error


def test_the_backlog_is_the_sum_and_its_error_shrinks_with_the_jobs() -> None:
    predictor = Predictor([learned(noisy(2.0, 100))])

    def times(jobs: int) -> Workload:
        one = Work(
            waiting=Waiting.CLAIMABLE, pool=None, preset="base", crop_size="medium", jobs=jobs, work_s=10.0 * jobs
        )
        return Workload(work=(one, replace(one, waiting=Waiting.RUNNING, pool="cpu")), workers={}, predictor=predictor)

    few, many = (times(jobs).times("l4", *Waiting)["base"] for jobs in (1, 1000))
    assert many.device_s == pytest.approx(1000 * few.device_s)
    assert many.device_s == pytest.approx(20_000, rel=0.2)
    assert many.error_s / many.device_s < few.error_s / few.device_s / 2
    assert times(5).times("cpu", Waiting.RUNNING)["base"].jobs == 5


def test_the_work_in_one_place_is_that_of_the_given_preset() -> None:
    one = Work(waiting=Waiting.CLAIMABLE, pool=None, preset="base", crop_size="medium", jobs=2, work_s=10.0)
    work = (one, replace(one, preset="tiny", jobs=5), replace(one, waiting=Waiting.DELAYED, jobs=9))
    workload = Workload(work=work, workers={}, predictor=Predictor())
    counts = [workload.on_any(Waiting.CLAIMABLE, preset).jobs for preset in ("base", "tiny", None)]
    assert counts == [2, 5, 7]
