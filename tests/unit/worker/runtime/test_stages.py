from __future__ import annotations

from prometheus_client import REGISTRY
from tests.unit.worker.runtime.test_progress import Clock

from dubline.orchestration.domain.jobs import Stage
from dubline.worker.runtime.stages import Stages


def counted(stage: Stage) -> float:
    labels = {"stage": stage.value, "preset": "tiny"}
    return REGISTRY.get_sample_value("dubline_worker_stage_seconds_total", labels) or 0.0


def test_the_time_of_each_stage_is_counted_while_it_lasts() -> None:
    before = {stage: counted(stage) for stage in Stage}
    clock = Clock()
    clock.now_s = 0.0
    stages = Stages("tiny", clock)
    clock.now_s = 5.0
    stages.enter(Stage.SAMPLING)
    clock.now_s = 7.0
    stages.enter(Stage.SAMPLING)
    assert counted(Stage.SAMPLING) - before[Stage.SAMPLING] == 2
    clock.now_s = 10.0
    stages.enter(Stage.RENDERING)
    clock.now_s = 11.0
    stages.enter(None)
    clock.now_s = 99.0
    stages.enter(None)
    spent = {stage: counted(stage) - before[stage] for stage in Stage if counted(stage) != before[stage]}
    assert spent == {Stage.SAMPLING: 5, Stage.RENDERING: 1}
