"""Broken connections to the database, and statements whose result is lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.orchestration.rows import change, column

from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.attempts import running_limit
from dubline.orchestration.database.store.attempts.leases import Leases
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.jobs import JobState, Outcome
from dubline.orchestration.domain.uploads import UploadKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session
    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.settings import DatabaseSettings

WITHIN_S = 60.0


@pytest.fixture
def other(database: DatabaseSettings) -> Iterator[Store]:
    """A store with its own connections, which a test may break."""
    with Store.connect(database.model_copy(update={"url": _named(database)})) as other:
        yield other


def _named(database: DatabaseSettings) -> Any:
    url = database.url.get_secret_value()
    return type(database.url)(f"{url}?application_name=breakable")


def break_connections(store: Store, doing: str = "") -> None:
    """End the other store's connections on the server, as a restart does, and wait until they are closed."""
    of_other = "FROM pg_stat_activity WHERE application_name = 'breakable' AND query LIKE :doing"
    deadline = time.monotonic() + WITHIN_S
    while not column(store, f"SELECT pid {of_other}", doing=f"%{doing}%"):
        assert time.monotonic() < deadline
    column(store, f"SELECT pg_terminate_backend(pid) {of_other}", doing=f"%{doing}%")
    while column(store, f"SELECT pid {of_other}", doing=f"%{doing}%"):
        assert time.monotonic() < deadline


def test_a_restart_between_two_calls_causes_no_error(store: Store, other: Store, factory: JobFactory) -> None:
    job = factory.job()
    with transaction(other._engine) as first, transaction(other._engine) as second:
        assert first.connection() is not second.connection()
        first.connection().exec_driver_sql("SELECT 1")
        second.connection().exec_driver_sql("SELECT 1")
    break_connections(store)
    with ThreadPoolExecutor(2) as pool:
        got, claimed = pool.submit(other.jobs.get, "acme", job.id), pool.submit(other.leases.claim, "worker", 10)
    assert got.result().id == job.id
    assert claimed.result() is not None
    break_connections(store)
    lease = claimed.result()
    assert lease is not None
    other.leases.finish(lease, 1, 1.0)
    assert store.jobs.get("acme", job.id).state is JobState.SUCCEEDED


def test_a_connection_broken_during_a_statement_raises_a_typed_error(store: Store, other: Store) -> None:
    run = OneStatement(other._engine)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, "SELECT pg_sleep(60)")
        break_connections(store, doing="pg_sleep")
        with pytest.raises(DatabaseUnavailableError):
            waiting.result()
    assert run("SELECT 1 AS one")[0].one == 1
    assert other._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_single_statement_leaves_no_connection_in_autocommit(store: Store, factory: JobFactory) -> None:
    factory.job()
    run = OneStatement(store._engine)
    run("SELECT 1")
    with transaction(store._engine) as session:
        session.connection().exec_driver_sql("DELETE FROM jobs")
        session.rollback()
    assert column(store, "SELECT count(*) FROM jobs") == [1]


class FailsBefore:
    """Raises before it executes the first statement, as if that one were still on its way to the server."""

    def __init__(self, run: OneStatement) -> None:
        self._run = run
        self.late: tuple[str, dict[str, Any]] | None = None

    def __call__(self, statement: str, **values: Any) -> list[Any]:
        if self.late is None:
            self.late = statement, values
            raise DatabaseUnavailableError
        return self._run(statement, **values)

    def arrive(self) -> None:
        assert self.late is not None
        self._run(self.late[0], **self.late[1])


def test_a_claim_that_is_committed_after_its_release_is_not_charged(store: Store, factory: JobFactory) -> None:
    own, other = factory.job(), factory.job()
    leases = Leases(store._engine)
    leases._run = unreliable = FailsBefore(leases._run)  # type: ignore[assignment]
    with pytest.raises(DatabaseUnavailableError):
        leases.claim("worker", 60)
    lease = leases.claim("worker", 60)
    assert lease is not None
    assert lease.job_id == own.id
    unreliable.arrive()
    assert store.jobs.get("acme", other.id).state is JobState.RUNNING
    leases.renew(lease, 60)
    assert store.jobs.get("acme", other.id).state is JobState.QUEUED
    (attempt,) = store.jobs.attempts("acme", other.id)
    assert attempt.outcome is Outcome.RELEASED


@contextmanager
def lost_transaction(engine: Engine) -> Iterator[Session]:
    """Commit, and lose the result."""
    with transaction(engine) as session:
        yield session
    raise DatabaseUnavailableError


def test_a_lost_claim_of_an_upload_is_not_charged(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload = factory.probing(UploadKind.SPEECH)
    monkeypatch.setattr("dubline.orchestration.database.store.uploads.transaction", lost_transaction)
    with pytest.raises(DatabaseUnavailableError):
        store.uploads.claim("prober", 60)
    monkeypatch.undo()
    lease = store.uploads.claim("prober", 60)
    assert lease is not None
    assert (lease.upload.id, lease.attempt) == (upload.id, 1)


class LosesResults:
    """Executes statements and discards their results."""

    def __init__(self, run: OneStatement) -> None:
        self._run = run
        self.losing = True

    def __call__(self, statement: str, **values: Any) -> list[Any]:
        rows = self._run(statement, **values)
        if self.losing:
            raise DatabaseUnavailableError
        return rows


def test_a_claim_whose_result_was_lost_is_released_uncharged(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    leases = Leases(store._engine)
    leases._run = unreliable = LosesResults(leases._run)  # type: ignore[assignment]
    with pytest.raises(DatabaseUnavailableError):
        leases.claim("worker", 60)
    assert store.jobs.get("acme", job.id).state is JobState.RUNNING
    unreliable.losing = False
    lease = leases.claim("worker", 60)
    assert lease is not None
    assert (lease.job_id, lease.attempt, lease.charged) == (job.id, 2, {})
    assert store.jobs.attempts("acme", job.id)[0].outcome is Outcome.RELEASED
    leases.finish(lease, 1, 1.0)
    assert leases.claim("worker", 60) is None


class FailsFrom:
    """Executes some statements and raises before each further one."""

    def __init__(self, run: OneStatement, count: int) -> None:
        self._run = run
        self.left = count

    def __call__(self, statement: str, **values: Any) -> list[Any]:
        self.left -= 1
        if self.left < 0:
            raise DatabaseUnavailableError
        return self._run(statement, **values)


def test_a_claim_is_released_if_the_limit_of_its_tenant_cannot_be_checked(
    store: Store, factory: JobFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = factory.job()
    store.tenants.set_limits("acme", {"running_jobs": 1})
    leases = Leases(store._engine)
    with monkeypatch.context() as patched:
        patched.setattr(running_limit, "transaction", lost_transaction)
        with pytest.raises(DatabaseUnavailableError):
            leases.claim("worker", 60)
    lease = leases.claim("worker", 60)
    assert lease is not None
    assert (lease.job_id, lease.attempt, lease.charged) == (job.id, 2, {})


def test_a_claim_is_released_if_its_deleted_upload_cannot_be_recorded(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    change(store, "DELETE FROM uploads WHERE id = :id", id=job.speech_upload_id)
    leases = Leases(store._engine)
    leases._run = unreliable = FailsFrom(leases._run, 1)  # type: ignore[assignment]
    with pytest.raises(DatabaseUnavailableError):
        leases.claim("worker", 60)
    assert store.jobs.get("acme", job.id).state is JobState.RUNNING
    unreliable.left = 100
    assert leases.claim("worker", 60) is None
    outcomes = [attempt.outcome for attempt in store.jobs.attempts("acme", job.id)]
    assert outcomes == [Outcome.RELEASED, Outcome.FAILED]
