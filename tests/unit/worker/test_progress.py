import pytest

from dubline.orchestration.errors import DatabaseUnavailableError, LeaseLostError
from dubline.orchestration.jobs import Stage
from dubline.worker.progress import Progress


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def nothing() -> None:
    pass


def test_percents_are_written_at_most_once_per_second_and_stages_always() -> None:
    written: list[tuple[Stage, float]] = []
    clock = Clock()
    progress = Progress(lambda *step: written.append(step), nothing, clock)
    for tenth in range(25):
        clock.now_s = 100 + tenth / 10
        progress(Stage.RENDERING, tenth)
    progress(Stage.MUXING, 95)
    assert written == [
        (Stage.RENDERING, 0),
        (Stage.RENDERING, 10),
        (Stage.RENDERING, 20),
        (Stage.MUXING, 95),
    ]


def test_a_database_that_is_away_does_not_stop_the_work() -> None:
    def away(_stage: Stage, _percent: float) -> None:
        raise DatabaseUnavailableError

    Progress(away, nothing)(Stage.RENDERING, 50)


def test_a_lost_lease_stops_the_work_even_between_writes() -> None:
    def lost() -> None:
        raise LeaseLostError

    with pytest.raises(LeaseLostError):
        Progress(lambda *_: None, lost)(Stage.RENDERING, 50)
