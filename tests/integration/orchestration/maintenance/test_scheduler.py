from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import structlog
from tests.integration.conftest import wait_until

from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.errors import BrokerUnavailableError
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.maintenance.periodic_tasks import duties
from dubline.orchestration.maintenance.scheduler import Duty, serving, take_turn
from dubline.orchestration.queue import SOCKET_TIMEOUT_S, Waker, create_app
from dubline.orchestration.settings import BucketSettings, ControlSettings, DatabaseSettings
from dubline.orchestration.storage.objects import Objects
from dubline.orchestration.storage.s3 import READ_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.orchestration.conftest import JobFactory

LOCK = 7
QUICK = ControlSettings(relay_s=0.02, reconcile_s=0.02, rescue_s=0.02, janitor_s=0.02, expire_s=0.02)
HOLDER = f"""
import sys
from dubline.orchestration.settings import DatabaseSettings
from dubline.orchestration.database.store import Store
with Store.connect(DatabaseSettings.read()) as store, store.lock({LOCK}) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def duty(turn: Callable[[], object], name: str = "test", lock: int = LOCK) -> Duty:
    return Duty(name=name, lock=lock, period_s=0.01, turn=turn)


class Silence:
    """A server that takes a connection and never says a word."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(60)
        self._taken: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=lambda: self._taken.append(self._server.accept()[0]), daemon=True).start()

    def asked(self) -> bool:
        return bool(self._taken)

    def close(self) -> None:
        for one in (*self._taken, self._server):
            one.close()


def test_only_one_process_has_the_turn(store: Store) -> None:
    turns: list[int] = []
    one = duty(lambda: turns.append(1))
    with store.lock(LOCK) as mine:
        assert mine
        assert not take_turn(store, one)
        assert take_turn(store, duty(lambda: None, lock=LOCK + 1))
    assert not turns
    assert take_turn(store, one)
    assert turns == [1]


def test_a_process_that_is_killed_in_its_turn_frees_the_lock(store: Store, environment: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"True\n"
        assert not take_turn(store, duty(lambda: None))
        holder.kill()
        wait_until(lambda: take_turn(store, duty(lambda: None)), 5)


def test_every_duty_has_a_name_and_a_lock_of_its_own(store: Store, waker: Waker, objects: Objects) -> None:
    listed = duties(store, waker, objects, ControlSettings())
    assert len({one.name for one in listed}) == len({one.lock for one in listed}) == len(listed)
    assert all(0 <= one.delay_s <= one.period_s for one in listed)


def test_a_duty_that_hangs_holds_up_no_other_and_not_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.scheduler.STOP_WITHIN_S", 0.1)
    turns, release = list[int](), threading.Event()
    hanging = duty(release.wait, "hanging", LOCK + 1)
    with structlog.testing.capture_logs() as events, serving(store, [hanging, duty(lambda: turns.append(1))]):
        wait_until(lambda: len(turns) > 3)
    release.set()
    assert events[-1]["event"] == "control_stopped"
    assert events[-1]["hanging"] == ["hanging"]


@pytest.mark.parametrize(("error", "event"), [(BrokerUnavailableError(), "turn_missed"), (KeyError(1), "turn_broke")])
def test_a_failure_costs_turns_and_is_told_once(
    store: Store, error: Exception, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.scheduler.PAUSE_MIN_S", 0.01)
    turns: list[int] = []

    def fail_thrice() -> None:
        turns.append(1)
        if len(turns) <= 3:
            raise error

    with structlog.testing.capture_logs() as events, serving(store, [duty(fail_thrice)]):
        wait_until(lambda: len(turns) > 5)
    told = [one["event"] for one in events]
    assert told == ["control_started", event, "duty_resumed", "control_stopped"]


def test_a_database_that_is_away_costs_turns_and_not_the_process(
    waker: Waker, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.scheduler.PAUSE_MIN_S", 0.01)
    away = DatabaseSettings.model_validate({"url": "postgresql+psycopg://postgres@127.0.0.1:1/dubline"})
    missed: list[str] = []
    with Store.connect(away) as store, structlog.testing.capture_logs() as events:
        lock = store.lock

        def counted(name: int) -> object:
            missed.append(str(name))
            return lock(name)

        monkeypatch.setattr(store, "lock", counted)
        listed = [one for one in duties(store, waker, objects, QUICK) if one.name != "sweep"]
        with serving(store, listed):
            wait_until(lambda: all(missed.count(str(one.lock)) >= 2 for one in listed))
    told = [event for event in events if event["event"] == "turn_missed"]
    assert sorted(event["duty"] for event in told) == sorted(one.name for one in listed)
    assert {event["code"] for event in told} == {"database_unavailable"}
    assert events[-1]["hanging"] == []


def test_rescue_waits_for_neither_the_bucket_nor_the_broker(store: Store, factory: JobFactory) -> None:
    done = factory.job()
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    store.leases.finish(lease, lease.result_key, 10, 1.0)
    store.deletions.job("acme", done.id, "test")
    with closing(Silence()) as bucket, closing(Silence()) as broker:
        endpoint = {"name": "dubline", "endpoint_url": f"http://{bucket.address}", "access_key": "a", "secret_key": "b"}
        objects = Objects(BucketSettings.model_validate(endpoint))
        waker = Waker(create_app(f"redis://{broker.address}/0"))
        job = factory.job()
        with serving(store, duties(store, waker, objects, QUICK)):
            wait_until(bucket.asked)
            wait_until(broker.asked)
            began = time.monotonic()
            store.leases.claim("lost", 0.01)
            wait_until(lambda: store.jobs.get("acme", job.id).state is JobState.RETRYING)
            assert time.monotonic() - began < min(READ_TIMEOUT_S, SOCKET_TIMEOUT_S)
            bucket.close()
            broker.close()
    assert store.deletions.doomed(10) == (lease.result_key,)
