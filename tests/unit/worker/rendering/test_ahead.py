from __future__ import annotations

import threading
from functools import partial
from threading import Event
from typing import TYPE_CHECKING

import pytest
import torch

from dubline.orchestration.domain.checkpoints import CheckpointKind
from dubline.orchestration.domain.errors import LeaseLostError
from dubline.worker.rendering import ahead
from dubline.worker.rendering.ahead import Ahead
from dubline.worker.rendering.keeper import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WITHIN_S = 20.0


def ignore() -> None:
    pass


def remaining() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(("compute", "keep"))]


def test_results_have_the_order_of_their_calls() -> None:
    late = Event()

    def first() -> int:
        assert late.wait(WITHIN_S)
        return 0

    def second() -> int:
        late.set()
        return 1

    with Ahead(2, ignore) as threads:
        assert list(threads.results([first, second, lambda: 2])) == [0, 1, 2]
    assert remaining() == []


def test_a_bounded_number_of_batches_is_computed_ahead() -> None:
    taken: list[int] = []

    def calls() -> Iterator[Callable[[], int]]:
        for number in range(20):
            taken.append(number)
            yield partial(int, number)

    with Ahead(2, ignore) as threads:
        for number in threads.results(calls()):
            # Two that are computed, one that waits, and the one that is in use.
            assert len(taken) <= number + 4
    assert len(taken) == 20


def test_operations_use_the_calling_thread_alone() -> None:
    with Ahead(2, ignore) as threads:
        assert list(threads.results([torch.get_num_threads] * 4)) == [1, 1, 1, 1]


def test_the_first_call_that_fails_gives_the_cause() -> None:
    begun: list[int] = []

    def fail(number: int) -> None:
        begun.append(number)
        raise KeyError(number)

    with pytest.raises(KeyError, match=r"^3$"), Ahead(2, ignore) as threads:
        list(threads.results([*[ignore] * 3, *(partial(fail, number) for number in range(3, 50))]))
    assert len(begun) < 10
    assert remaining() == []


def test_a_lost_lease_ends_the_wait_and_the_threads() -> None:
    stopped = Event()

    def lose() -> None:
        stopped.set()
        raise LeaseLostError

    with pytest.raises(LeaseLostError), Ahead(1, lose) as threads:
        list(threads.results([partial(stopped.wait, WITHIN_S)] * 3))
    assert remaining() == []


def test_a_call_that_never_returns_is_reported_for_some_time_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "REPORT_S", 0.01)
    monkeypatch.setattr(ahead, "REPORTED_S", 0.1)
    reports: list[None] = []

    def long() -> int:
        # Until the reports have ended, which the heartbeat takes for a stall.
        last = -1
        while last != len(reports):
            last = len(reports)
            Event().wait(0.3)
        return last

    with Ahead(1, lambda: reports.append(None)) as threads:
        (last,) = threads.results([long])
    assert 1 <= last == len(reports) <= 11


class Slow:
    """Checkpoints that are stored when the test lets them."""

    def __init__(self, fails: int = -1) -> None:
        self.allowed, self.fails = Event(), fails
        self.stored: list[int] = []

    def keep(self, kind: CheckpointKind, number: int, _path: Path) -> None:
        assert kind is CheckpointKind.SEGMENT
        assert self.allowed.wait(WITHIN_S)
        if number == self.fails:
            raise LeaseLostError
        self.stored.append(number)


def test_a_segment_is_stored_while_the_caller_continues(tmp_path: Path) -> None:
    slow = Slow()
    with Keeper(slow, ignore) as keeper:  # type: ignore[arg-type]
        keeper.keep(0, tmp_path)
        assert slow.stored == []
        slow.allowed.set()
        keeper.keep(1, tmp_path)
        assert slow.stored[:1] == [0]
        keeper.finish()
    assert slow.stored == [0, 1]
    assert remaining() == []


def test_what_stops_the_storing_stops_the_next_segment(tmp_path: Path) -> None:
    slow = Slow(fails=0)
    slow.allowed.set()
    with Keeper(slow, ignore) as keeper:  # type: ignore[arg-type]
        keeper.keep(0, tmp_path)
        with pytest.raises(LeaseLostError):
            keeper.keep(1, tmp_path)
    assert slow.stored == []


def test_a_segment_is_stored_after_an_error_elsewhere(tmp_path: Path) -> None:
    slow = Slow()

    def fail() -> None:
        with Keeper(slow, ignore) as keeper:  # type: ignore[arg-type]
            keeper.keep(0, tmp_path)
            slow.allowed.set()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert slow.stored == [0]
