from __future__ import annotations

import pytest

from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.runtime.progress import Progress


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def nothing(_stage: Stage) -> None:
    pass


def test_percents_are_written_once_per_second_and_stages_always() -> None:
    written: list[tuple[Stage, float, float]] = []
    clock = Clock()
    progress = Progress(lambda *step: written.append(step), nothing, clock)
    for tenth in range(25):
        clock.now_s = 100 + tenth / 10
        progress(Stage.RENDERING, tenth)
    progress(Stage.MUXING, 95)
    assert [step[:2] for step in written] == [
        (Stage.RENDERING, 0),
        (Stage.RENDERING, 10),
        (Stage.RENDERING, 20),
        (Stage.MUXING, 95),
    ]


def test_a_database_outage_does_not_stop_the_work() -> None:
    def unavailable(*_: object) -> None:
        raise DatabaseUnavailableError

    Progress(unavailable, nothing)(Stage.RENDERING, 50)


def test_a_lost_lease_stops_the_work_between_writes() -> None:
    def lost(_stage: Stage) -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        Progress(lambda *_: None, lost)(Stage.RENDERING, 50)


def test_only_sampling_and_rendering_count_as_device_time() -> None:
    written: list[tuple[Stage, float, float]] = []
    clock = Clock()
    progress = Progress(lambda *step: written.append(step), nothing, clock)
    for stage, began_s in zip(Stage, (100, 103, 104, 110, 111), strict=True):
        clock.now_s = began_s
        progress(stage, 0)
    clock.now_s = 150
    assert progress.gpu_s == 7
    assert [gpu_s for _, _, gpu_s in written] == [0, 0, 1, 7, 7]


def test_the_time_of_a_failed_step_counts() -> None:
    clock = Clock()
    progress = Progress(lambda *_: None, nothing, clock)
    progress(Stage.RENDERING, 10)
    clock.now_s += 4
    assert progress.gpu_s == 4


def test_a_running_step_is_reported_again() -> None:
    written: list[tuple[Stage, float, float]] = []
    clock = Clock()
    progress = Progress(lambda *step: written.append(step), nothing, clock)
    progress.repeat()
    progress(Stage.STORING, 98)
    clock.now_s += 1
    progress.repeat()
    assert [step[:2] for step in written] == [(Stage.STORING, 98)] * 2
