"""A database that goes away and comes back: what callers see, and what happens to work whose answer was lost."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from tests.integration.orchestration.rows import column

from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.leases import Leases
from dubline.orchestration.database.store.transaction import OneStatement, transaction
from dubline.orchestration.domain.errors import DatabaseUnavailableError
from dubline.orchestration.domain.jobs import JobState, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.orchestration.conftest import JobFactory

    from dubline.orchestration.settings import DatabaseSettings

WITHIN_S = 20.0


@pytest.fixture
def other(database: DatabaseSettings) -> Iterator[Store]:
    """A store with connections of its own, which a test may break."""
    with Store.connect(database.model_copy(update={"url": _named(database)})) as other:
        yield other


def _named(database: DatabaseSettings) -> Any:
    url = database.url.get_secret_value()
    return type(database.url)(f"{url}?application_name=breakable")


def sever(store: Store, doing: str = "") -> None:
    """Have the server end the other store's connections, as at its restart, and wait until it did."""
    of_other = "FROM pg_stat_activity WHERE application_name = 'breakable' AND query LIKE :doing"
    deadline = time.monotonic() + WITHIN_S
    while not column(store, f"SELECT pid {of_other}", doing=f"%{doing}%"):
        assert time.monotonic() < deadline
    column(store, f"SELECT pg_terminate_backend(pid) {of_other}", doing=f"%{doing}%")
    while column(store, f"SELECT pid {of_other}", doing=f"%{doing}%"):
        assert time.monotonic() < deadline


def test_a_restart_between_two_calls_is_not_noticed(store: Store, other: Store, factory: JobFactory) -> None:
    job = factory.job()
    with transaction(other._engine) as first, transaction(other._engine) as second:
        assert first.connection() is not second.connection()
        first.connection().exec_driver_sql("SELECT 1")
        second.connection().exec_driver_sql("SELECT 1")
    sever(store)
    with ThreadPoolExecutor(2) as pool:
        got, claimed = pool.submit(other.jobs.get, "acme", job.id), pool.submit(other.leases.claim, "worker", 10)
    assert got.result().id == job.id
    assert claimed.result() is not None
    sever(store)
    lease = claimed.result()
    assert lease is not None
    other.leases.finish(lease, 1, 1.0)
    assert store.jobs.get("acme", job.id).state is JobState.SUCCEEDED


def test_a_connection_that_breaks_in_the_middle_is_one_typed_error_and_the_next_call_works(
    store: Store, other: Store
) -> None:
    run = OneStatement(other._engine)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, "SELECT pg_sleep(60)")
        sever(store, doing="pg_sleep")
        with pytest.raises(DatabaseUnavailableError):
            waiting.result()
    assert run("SELECT 1 AS one")[0].one == 1
    assert other._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_statement_of_its_own_leaves_no_autocommit_behind(store: Store, factory: JobFactory) -> None:
    factory.job()
    run = OneStatement(store._engine)
    run("SELECT 1")
    with transaction(store._engine) as session:
        session.connection().exec_driver_sql("DELETE FROM jobs")
        session.rollback()
    assert column(store, "SELECT count(*) FROM jobs") == [1]


class LosesAnswers:
    """Carries statements out and loses what the server said."""

    def __init__(self, run: OneStatement) -> None:
        self._run = run
        self.losing = True

    def __call__(self, statement: str, **values: Any) -> list[Any]:
        rows = self._run(statement, **values)
        if self.losing:
            raise DatabaseUnavailableError
        return rows


def test_a_job_whose_claim_had_no_answer_is_given_back_uncharged(store: Store, factory: JobFactory) -> None:
    job = factory.job()
    leases = Leases(store._engine)
    leases._run = line = LosesAnswers(leases._run)  # type: ignore[assignment]
    with pytest.raises(DatabaseUnavailableError):
        leases.claim("worker", 60)
    assert store.jobs.get("acme", job.id).state is JobState.RUNNING
    line.losing = False
    lease = leases.claim("worker", 60)
    assert lease is not None
    assert (lease.job_id, lease.attempt, lease.charged) == (job.id, 2, {})
    assert store.jobs.attempts("acme", job.id)[0].outcome is Outcome.RELEASED
    leases.finish(lease, 1, 1.0)
    assert leases.claim("worker", 60) is None
