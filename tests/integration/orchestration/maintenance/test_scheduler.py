from __future__ import annotations

import math
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog
from prometheus_client import REGISTRY
from tests.integration.orchestration.rows import column
from tests.integration.waiting import wait_until

from dubline.orchestration.database.store import Store
from dubline.orchestration.domain.errors import BrokerUnavailableError, StorageUnavailableError
from dubline.orchestration.domain.jobs import JobState
from dubline.orchestration.maintenance import scheduler
from dubline.orchestration.maintenance.periodic_tasks import LOCKS, periodic_tasks
from dubline.orchestration.maintenance.scheduler import PeriodicTask, running
from dubline.orchestration.maintenance.task_lock import TaskLock
from dubline.orchestration.queue import SOCKET_TIMEOUT_S, Notifier, create_app
from dubline.orchestration.settings import BucketSettings, DatabaseSettings, MaintenanceSettings
from dubline.orchestration.storage.objects import Objects
from dubline.orchestration.storage.s3 import READ_TIMEOUT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.orchestration.conftest import JobFactory

LOCK = 7
QUICK = MaintenanceSettings(publish_s=0.02, reconcile_s=0.02, rescue_s=0.02, clean_s=0.02, expire_s=0.02)
HOLDER = f"""
import sys
from dubline.orchestration.settings import DatabaseSettings
from dubline.orchestration.database.store import Store
with Store.connect(DatabaseSettings.read()) as store, store.lock({LOCK}) as acquired:
    print(acquired is not None, flush=True)
    sys.stdin.read()
"""


def task(run: Callable[[], object], name: str = "test", lock: int = LOCK) -> PeriodicTask:
    return PeriodicTask(name=name, lock=lock, period_s=0.01, run=run)


def run_exclusively(store: Store, one: PeriodicTask) -> bool:
    with TaskLock(store, one) as lock:
        return lock.run()


class Remembered:
    """A task with a memory, and what it did."""

    def __init__(self) -> None:
        self.runs = self.begun = self.ended = 0

    @contextmanager
    def memory(self) -> Iterator[None]:
        self.begun += 1
        yield
        self.ended += 1

    def run(self) -> None:
        self.runs += 1

    @property
    def task(self) -> PeriodicTask:
        return replace(task(self.run), memory=self.memory)


class SilentServer:
    """A server that accepts one connection and never responds."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._server.settimeout(60)
        self._accepted: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        # It may be closed before anyone connects.
        with suppress(OSError):
            self._accepted.append(self._server.accept()[0])

    def accepted(self) -> bool:
        return bool(self._accepted)

    def close(self) -> None:
        for one in (*self._accepted, self._server):
            one.close()


def test_a_task_with_a_delay_does_not_run_at_the_start_but_is_published(store: Store) -> None:
    first, delayed = threading.Event(), threading.Event()
    tasks = (task(first.set), replace(task(delayed.set, "delayed", LOCK + 1), delay_s=3600.0))
    with running(store, tasks):
        assert first.wait(60)
        assert not delayed.wait(0.1)
        labels = {"task": "delayed", "result": "failed"}
        assert REGISTRY.get_sample_value("dubline_maintenance_runs_total", labels) == 0


def test_a_failed_run_is_not_repeated_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "RETRY_MIN_S", 60.0)
    failed, tries = threading.Event(), 0

    def fail() -> None:
        nonlocal tries
        tries += 1
        failed.set()
        raise StorageUnavailableError

    with running(store, [task(fail)]):
        assert failed.wait(60)
        time.sleep(0.1)
    assert tries == 1


def test_a_task_runs_in_one_process_at_a_time(store: Store) -> None:
    runs: list[int] = []
    one = task(lambda: runs.append(1))
    with store.lock(LOCK) as acquired:
        assert acquired
        assert not run_exclusively(store, one)
        assert run_exclusively(store, task(lambda: None, lock=LOCK + 1))
    assert not runs
    assert run_exclusively(store, one)
    assert runs == [1]


def test_a_process_that_is_killed_in_a_run_releases_the_lock(store: Store, environment: dict[str, str]) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER], env=environment, stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"True\n"
        assert not run_exclusively(store, task(lambda: None))
        holder.kill()
        wait_until(lambda: run_exclusively(store, task(lambda: None)), 5)


def test_one_process_makes_all_runs_of_a_task_with_a_memory(store: Store, database: DatabaseSettings) -> None:
    first, second = Remembered(), Remembered()
    with Store.connect(database) as other:
        with running(store, [first.task]):
            wait_until(lambda: first.runs > 1)
            with running(other, [second.task]):
                seen = first.runs
                wait_until(lambda: first.runs > seen + 3)
            assert second.runs == 0
        with running(other, [second.task]):
            wait_until(lambda: second.runs > 1)
    assert [(one.begun, one.ended) for one in (first, second)] == [(1, 1), (1, 1)]


def test_a_process_that_lost_its_lock_begins_without_a_memory(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.scheduler.RETRY_MIN_S", 0.01)
    remembered = Remembered()
    with structlog.testing.capture_logs(), running(store, [remembered.task]):
        wait_until(lambda: remembered.runs > 1)
        ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        assert column(store, ended) == [True]
        wait_until(lambda: remembered.begun == 2)


def test_a_task_that_is_not_due_asks_for_no_lock(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "lock", pytest.fail)
    asked: list[bool] = []
    idle = replace(task(pytest.fail), due=lambda: asked.append(True) is not None)
    with structlog.testing.capture_logs() as events, running(store, [idle]):
        wait_until(lambda: len(asked) > 3)
    assert [one["event"] for one in events] == ["maintenance_started", "maintenance_stopped"]


def test_every_task_has_a_unique_name_and_lock(store: Store, notifier: Notifier, objects: Objects) -> None:
    listed = periodic_tasks(store, notifier, objects, MaintenanceSettings())
    assert len({one.name for one in listed}) == len({one.lock for one in listed}) == len(listed)
    assert all(0 <= one.delay_s <= one.period_s for one in listed)


def test_a_hanging_task_blocks_neither_other_tasks_nor_shutdown(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.scheduler.STOP_TIMEOUT_S", 0.1)
    runs, release = list[int](), threading.Event()
    hanging = task(release.wait, "hanging", LOCK + 1)
    with structlog.testing.capture_logs() as events, running(store, [hanging, task(lambda: runs.append(1))]):
        wait_until(lambda: len(runs) > 3)
    release.set()
    assert events[-1]["event"] == "maintenance_stopped"
    assert events[-1]["hanging"] == ["hanging"]


@pytest.mark.parametrize(("error", "event"), [(BrokerUnavailableError(), "task_failed"), (KeyError(1), "task_crashed")])
def test_a_repeated_failure_is_logged_once_and_the_task_goes_on(
    store: Store, error: Exception, event: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.scheduler.RETRY_MIN_S", 0.01)
    runs: list[int] = []

    def fail_thrice() -> None:
        runs.append(1)
        if len(runs) <= 3:
            raise error

    with structlog.testing.capture_logs() as events, running(store, [task(fail_thrice)]):
        wait_until(lambda: len(runs) > 5)
    assert [one["event"] for one in events] == ["maintenance_started", event, "task_recovered", "maintenance_stopped"]


def test_an_unavailable_database_fails_runs_but_not_the_process(
    notifier: Notifier, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.scheduler.RETRY_MIN_S", 0.01)
    unavailable = DatabaseSettings.model_validate({"url": "postgresql+psycopg://postgres@127.0.0.1:1/dubline"})
    failed: list[str] = []
    with Store.connect(unavailable) as store, structlog.testing.capture_logs() as events:
        lock, has_any = store.lock, store.outbox.has_any

        def counted(name: int) -> object:
            failed.append(str(name))
            return lock(name)

        def asked() -> bool:
            failed.append(str(LOCKS + 1))
            return has_any()

        monkeypatch.setattr(store, "lock", counted)
        # The first call of a run of the publisher.
        monkeypatch.setattr(store.outbox, "has_any", asked)
        listed = [one for one in periodic_tasks(store, notifier, objects, QUICK) if one.name != "sweep"]
        with running(store, listed):
            wait_until(lambda: all(failed.count(str(one.lock)) >= 2 for one in listed))
    logged = [event for event in events if event["event"] == "task_failed"]
    assert sorted(event["task"] for event in logged) == sorted(one.name for one in listed)
    assert {event["code"] for event in logged} == {"database_unavailable"}
    assert events[-1]["hanging"] == []


def test_rescue_is_not_delayed_by_a_hanging_bucket_or_broker(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dubline.orchestration.maintenance.rescuer.GRACE_PERIOD_S", 0.0)
    done = factory.job()
    lease = store.leases.claim("worker", 10)
    assert lease is not None
    store.leases.finish(lease, 10, 1.0)
    store.deletions.job("acme", done.id, "test")
    with closing(SilentServer()) as bucket, closing(SilentServer()) as broker:
        endpoint = {"name": "dubline", "endpoint_url": f"http://{bucket.address}", "access_key": "a", "secret_key": "b"}
        objects = Objects(BucketSettings.model_validate(endpoint))
        notifier = Notifier(create_app(f"redis://{broker.address}/0"))
        job = factory.job()
        with running(store, periodic_tasks(store, notifier, objects, QUICK)):
            wait_until(bucket.accepted)
            wait_until(broker.accepted)
            began = time.monotonic()
            store.leases.claim("lost", 0.01)
            wait_until(lambda: store.jobs.get("acme", job.id).state is JobState.RETRYING)
            assert time.monotonic() - began < min(READ_TIMEOUT_S, SOCKET_TIMEOUT_S)
            bucket.close()
            broker.close()
    assert store.deletions.pending(10) == (lease.result_key,)


def test_the_liveness_file_is_not_touched_while_any_task_hangs(store: Store, tmp_path: Path) -> None:
    file, hanging = tmp_path / "liveness", threading.Event()
    runs: list[int] = []
    tasks = [task(lambda: runs.append(1)), replace(task(hanging.wait, "hangs", LOCK + 1), limit_s=0)]
    with running(store, tasks, file):
        wait_until(lambda: len(runs) > 2)
        assert not file.exists()
        hanging.set()
        wait_until(file.exists)


def test_the_liveness_file_is_touched_within_the_limit_of_a_run(store: Store, tmp_path: Path) -> None:
    file, slow = tmp_path / "liveness", threading.Event()
    with running(store, [task(lambda: None), task(slow.wait, "slow", LOCK + 1)], file):
        wait_until(file.exists)
        slow.set()


def test_the_liveness_file_is_touched_when_every_run_fails(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "liveness"

    def fail() -> None:
        raise StorageUnavailableError

    with structlog.testing.capture_logs(), running(store, [task(fail)], file):
        wait_until(file.exists)


def test_every_task_may_hang_for_an_hour_at_most_but_the_sweep(store: Store) -> None:
    with closing(SilentServer()) as server:
        objects = Objects(
            BucketSettings.model_validate({"name": "dubline", "endpoint_url": f"http://{server.address}"})
        )
        notifier = Notifier(create_app(f"redis://{server.address}/0"))
        limits = {one.name: one.limit_s for one in periodic_tasks(store, notifier, objects, QUICK)}
    assert limits.pop("sweep") == math.inf
    assert max(limits.values()) <= 3600
