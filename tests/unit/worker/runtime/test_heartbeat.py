from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from threading import Event

import pytest

from dubline.orchestration.domain.errors import DatabaseUnavailableError, LeaseLostError
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.settings import LeaseSettings

QUICK = LeaseSettings.model_validate({"duration_s": 0.05, "heartbeat_s": 0.005})


class Lender:
    """Answers renewals as told, and counts them."""

    def __init__(self, answers: list[type[Exception] | None]) -> None:
        self._answers = answers
        self.asked = 0
        self.used_up = Event()

    def renew(self, seconds: float) -> None:
        assert seconds == QUICK.duration_s
        self.asked += 1
        answer = self._answers[min(self.asked, len(self._answers)) - 1]
        if self.asked >= len(self._answers):
            self.used_up.set()
        if answer is not None:
            raise answer


def test_a_lease_is_renewed_until_the_work_ends() -> None:
    lender = Lender([None, None, None])
    with Heartbeat(lender.renew, QUICK) as heartbeat:
        assert lender.used_up.wait(5)
        heartbeat.check()
    assert not heartbeat.lost
    assert not heartbeat._thread.is_alive()


def test_a_lost_lease_is_noticed_at_the_next_check() -> None:
    lender = Lender([None, LeaseLostError])
    with Heartbeat(lender.renew, QUICK) as heartbeat:
        assert heartbeat._lost.wait(5)
        with pytest.raises(LeaseLostError):
            heartbeat.check()


def test_a_database_that_comes_back_in_time_costs_nothing() -> None:
    patient = LeaseSettings.model_validate({"duration_s": 60, "heartbeat_s": 0.005})
    answers: list[type[Exception] | None] = [DatabaseUnavailableError, DatabaseUnavailableError, None]
    lender = Lender(answers)
    with Heartbeat(lambda _: lender.renew(QUICK.duration_s), patient) as heartbeat:
        assert lender.used_up.wait(5)
        heartbeat.check()


def test_an_outage_longer_than_a_lease_costs_nothing_if_nobody_took_the_work() -> None:
    short = LeaseSettings.model_validate({"duration_s": 1.0, "heartbeat_s": 0.05})
    back_at, renewed = time.monotonic() + 1.5 * short.duration_s, Event()

    def renew(_: float) -> None:
        if time.monotonic() < back_at:
            raise DatabaseUnavailableError
        renewed.set()

    with Heartbeat(renew, short) as heartbeat:
        assert renewed.wait(10)
        heartbeat.check()


def test_a_database_that_stays_away_loses_the_lease() -> None:
    lender = Lender([DatabaseUnavailableError])
    with Heartbeat(lender.renew, QUICK) as heartbeat:
        assert heartbeat._lost.wait(5)


def test_work_that_shows_no_sign_of_life_loses_its_lease_and_its_process() -> None:
    ended = Event()
    with Heartbeat(lambda _: None, QUICK, stall_s=0.02, give_up=ended.set) as heartbeat:
        assert heartbeat._lost.wait(5)
        assert ended.wait(5)
        with pytest.raises(LeaseLostError):
            heartbeat.check()


def test_work_that_wakes_up_in_time_keeps_its_process() -> None:
    ended = Event()
    patient = LeaseSettings.model_validate({"duration_s": 60, "heartbeat_s": 0.005})
    with Heartbeat(lambda _: None, patient, stall_s=0.02, give_up=ended.set) as heartbeat:
        assert heartbeat._lost.wait(5)
    assert not heartbeat._thread.is_alive()
    assert not ended.is_set()


def test_signs_of_life_keep_the_lease() -> None:
    beats = Event()
    count = 0

    def renew(_: float) -> None:
        nonlocal count
        count += 1
        heartbeat.check()
        if count == 20:
            beats.set()

    with Heartbeat(renew, QUICK, stall_s=2) as heartbeat:
        assert beats.wait(5)
        heartbeat.check()


def test_a_process_that_is_given_up_is_gone() -> None:
    script = "from dubline.worker.runtime import heartbeat; heartbeat.kill_worker()"
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL


def burn() -> None:
    while True:
        pass


def test_beats_come_in_time_while_every_processor_is_busy() -> None:
    """With the shipped lease five beats in a row have to fail before it is lost; each may be 4 s late."""
    shipped = LeaseSettings()
    quick = LeaseSettings.model_validate({"duration_s": 60, "heartbeat_s": 0.05})
    beats = [time.monotonic()]
    burners = [multiprocessing.get_context("spawn").Process(target=burn, daemon=True) for _ in range(4)]
    for burner in burners:
        burner.start()
    try:
        with Heartbeat(lambda _: beats.append(time.monotonic()), quick):
            # This thread takes the interpreter's lock as often as it can, as Python code between two batches does.
            until = time.monotonic() + 2
            while time.monotonic() < until:
                sum(range(1000))
    finally:
        for burner in burners:
            burner.kill()
            burner.join()
    late = max(after - before for before, after in itertools.pairwise(beats)) - quick.heartbeat_s
    assert len(beats) > 5
    assert late < shipped.duration_s / 2 - shipped.heartbeat_s, f"{late} s with {os.cpu_count()} processors"
