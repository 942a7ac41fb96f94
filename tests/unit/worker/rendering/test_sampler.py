from __future__ import annotations

import threading
from threading import Event
from typing import TYPE_CHECKING

import pytest

from dubline.worker.rendering import sampler as module
from dubline.worker.rendering.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN_S = 20.0


def ignore() -> None:
    pass


def test_a_frame_is_waited_for_and_later_ones_are_not() -> None:
    go_on = Event()

    def windows(_sampler: Sampler) -> Iterator[int]:
        yield 3
        assert go_on.wait(WITHIN_S)
        yield 5

    with Sampler(windows, ignore) as sampler:
        sampler.wait(1)
        assert sampler.sampled == 3
        go_on.set()
        sampler.wait(5)
        assert sampler.sampled == 5


def test_the_memory_of_the_windows_is_returned_after_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(module.device, "trim_memory", lambda crop_px: order.append(f"trimmed for {crop_px} px"))

    def windows(_sampler: Sampler) -> Iterator[int]:
        for number in (1, 2):
            order.append("window")
            yield number

    with Sampler(windows, ignore, 1648) as sampler:
        sampler.wait(2)
    assert order == ["window", "window", "trimmed for 1648 px"]


def test_what_stops_the_sampling_is_raised_where_its_frame_is_waited_for() -> None:
    def windows(_sampler: Sampler) -> Iterator[int]:
        yield 3
        raise MemoryError("none left")

    with Sampler(windows, ignore) as sampler:
        sampler.wait(3)
        with pytest.raises(MemoryError, match="none left"):
            sampler.wait(4)


def test_the_end_of_the_job_ends_the_sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORT_S", 0.01)
    reported, ended = Event(), []

    def windows(sampler: Sampler) -> Iterator[int]:
        yield 1
        try:
            while True:
                sampler.touch()
        except Exception as error:
            ended.append(type(error))
            raise

    def stop() -> None:
        reported.set()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Sampler(windows, stop) as sampler:
        sampler.wait(2)
    assert reported.is_set()
    assert len(ended) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("sample")]


def test_a_window_that_never_ends_is_no_longer_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REPORT_S", 0.01)
    monkeypatch.setattr(module, "REPORTED_S", 0.0)
    hangs, reports = Event(), []

    def windows(_sampler: Sampler) -> Iterator[int]:
        assert not hangs.wait(0.1)
        yield 1

    with Sampler(windows, lambda: reports.append(1)) as sampler:
        sampler.wait(1)
    assert reports == []
