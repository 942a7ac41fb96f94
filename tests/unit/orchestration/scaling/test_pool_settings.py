"""Pools as the operator describes them in `DUBLINE_SCALING_POOLS`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from dubline.orchestration.scaling.policy import Basis
from dubline.orchestration.scaling.pool import PoolSettings
from dubline.orchestration.settings import ScalingSettings, validation_messages

POOL: dict[str, Any] = {"name": "gpu", "deployment": "dubline-worker-gpu", "presets": ["base"], "ceiling": 8}


def read(monkeypatch: pytest.MonkeyPatch, text: str) -> ScalingSettings:
    monkeypatch.setenv("DUBLINE_SCALING_POOLS", text)
    return ScalingSettings.read()


def test_pools_are_read_from_json(monkeypatch: pytest.MonkeyPatch) -> None:
    other = POOL | {"name": "cpu", "deployment": "d", "basis": "depth", "jobs_per_worker": 2, "price_per_hour": 0.5}
    first, second = read(monkeypatch, json.dumps([POOL, other])).pools
    assert (first.name, first.deployment, first.presets) == ("gpu", "dubline-worker-gpu", {"base"})
    assert (second.policy().basis, second.policy().jobs_per_worker, second.price_per_hour) == (Basis.DEPTH, 2, 0.5)


def test_times_follow_from_the_cold_start() -> None:
    policy = PoolSettings.model_validate(POOL | {"cold_start_s": 100}).policy()
    assert (policy.cooldown_s, policy.start_limit_s) == (100.0, 300.0)
    policy = PoolSettings.model_validate(POOL | {"cold_start_s": 0}).policy()
    assert (policy.cooldown_s, policy.start_limit_s) == (0.0, 60.0)


def test_without_the_variable_no_pool_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ScalingSettings.read().pools == ()
    assert read(monkeypatch, "").pools == ()


@pytest.mark.parametrize(
    ("pools", "wrong"),
    [
        ("[{", "This is not JSON: Expecting"),
        ("{}", "The value is not a list."),
        ([{}], "entry 1, name: This field is missing. Add it."),
        ([POOL | {"name": "GPU_1"}], "entry 1, name: The text is not in the accepted form. Use at most 40 of"),
        ([POOL | {"name": "a" * 41}], "entry 1, name: The text is not in the accepted form. Use at most 40 of"),
        ([POOL | {"colour": 1}], "entry 1, colour: There is no field of this name."),
        ([POOL | {"presets": ["huge"]}], "entry 1, presets: There is no preset huge. Use some of"),
        ([POOL | {"presets": []}], "entry 1, presets: There are 0 items, which are too few. Use 1 or more."),
        ([POOL | {"floor": 9}], "entry 1: The policy of pool gpu is not valid: floor is 9, ceiling is 8"),
        ([POOL | {"cooldown_s": 5}], "cooldown_s is 5.0: expected at least cold_start_s, 600.0"),
        ([POOL, POOL], "Two pools have the name gpu. Give each its own."),
        ([POOL, POOL | {"name": "b"}], "Two pools have the deployment dubline-worker-gpu. Give each its own."),
    ],
)
def test_pools_that_are_not_valid_are_refused(monkeypatch: pytest.MonkeyPatch, pools: object, wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read(monkeypatch, pools if isinstance(pools, str) else json.dumps(pools))
    messages = validation_messages(refused.value)
    assert wrong in messages[0]
    assert messages[0].startswith("the environment variable DUBLINE_SCALING_POOLS is not usable: ")
