"""What each statement of the store reads does not grow with the tables: plans in tables of 10,000 jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from benchmarks.plans import CALLS, CALLS_OF_MANY, TENANT, Plans, fill, outline, recorded, rows_read
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool
from tests.integration.orchestration.database.test_tenants import methods

from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.outbox import COUNT_LIMIT
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS: Final = 10_000
#: Blocks that a call may read: pages of an index and of its rows. The table of jobs has more than 350.
BLOCKS: Final = 80
#: A call that reads each row of a batch of 1,000, counts as many, or writes rows.
BLOCKS_OF_MANY: Final = 260
#: Rows that the counts of the queue may read. Of 1,000 paused jobs the planner may read and sort all, which is most of
#: the blocks of this small table; of 100,000 it reads the first (`benchmarks/plans.py`). 5,000 jobs are queued.
ROWS_OF_QUEUE: Final = 1000 + 4 * COUNT_LIMIT
#: Methods whose statements find the rows they change by id, token or key, or insert rows.
BY_KEY: Final = frozenset(
    {
        *("Batches.cancel", "Batches.insert", "Events.append"),
        *("Deletions.batch", "Deletions.job", "Deletions.orphaned", "Deletions.postpone", "Deletions.removed"),
        *("Deletions.pending_among", "Deletions.without_job"),
        *("Jobs.cancel", "Jobs.insert", "Keys.create", "Keys.issue", "Keys.revoke", "Keys.rotate"),
        *("Leases.fail", "Leases.finish", "Leases.load_checkpoints", "Leases.progress", "Leases.release"),
        *("Leases.renew", "Leases.retry", "Leases.save_checkpoint", "Outbox.publish"),
        *("Shares.end", "Shares.load_motion", "Shares.offer", "Shares.progress", "Shares.renew", "Shares.reserve"),
        "Shares.save_checkpoint",
        *("Tenants.limits", "Tenants.set_limits", "Uploads.accept", "Uploads.insert", "Uploads.insert_once"),
        *("Uploads.mark_probing", "Uploads.reject", "Uploads.reject_pending", "Uploads.release", "Uploads.renew"),
        *(
            "Uploads.retry",
            "Weights.add",
            "Weights.list",
            "Weights.pin",
            "Workers.begin_test",
            "Workers.failed",
            "Workers.forget",
            "Workers.quarantine",
            "Workers.read",
            "Workers.succeeded",
        ),
    }
)
#: Methods that read or change all rows of a tenant or a period.
OF_ALL_ROWS: Final = frozenset(
    {"Tenants.set_retention", "UsageTotals.of_all", "UsageTotals.of_tenant", "UsageTotals.trace"}
) | {f"Restored.{name}" for name in ("repair_events", "results", "tenants", "uploads")}


@pytest.fixture(scope="module")
def large(postgres_url: str) -> Iterator[tuple[Store, Plans]]:
    """A store on large tables, and its plans."""
    admin = create_engine(postgres_url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    url = postgres_url.replace("/dubline", "/large")
    settings = DatabaseSettings.model_validate({"url": url})
    with admin.connect() as connection:
        connection.execute(text("CREATE DATABASE large"))
        migrate(settings)
        with Store.connect(settings) as store:
            store.keys.create(TENANT)
        fill(url, ROWS)
        with recorded(url) as opened:
            yield opened
        connection.execute(text("DROP DATABASE large WITH (FORCE)"))


@pytest.mark.parametrize("name", CALLS)
def test_a_call_reads_as_much_as_it_returns(large: tuple[Store, Plans], name: str) -> None:
    store, plans = large
    costs = plans.measure(lambda: CALLS[name](store), 1)
    assert costs.plans, "no plan was recorded"
    assert max(costs.blocks) <= BLOCKS, [outline(plan) for plan in costs.plans]


@pytest.mark.parametrize("name", CALLS_OF_MANY)
def test_a_call_reads_no_more_than_a_thousand_rows(large: tuple[Store, Plans], name: str) -> None:
    store, plans = large
    costs = plans.measure(lambda: CALLS_OF_MANY[name](store), 1)
    outlines = [outline(plan) for plan in costs.plans]
    if name == "Jobs.queued_counts":
        assert 0 < sum(map(rows_read, costs.plans)) <= ROWS_OF_QUEUE, outlines
    else:
        assert 0 < max(costs.blocks) <= BLOCKS_OF_MANY, outlines


def test_every_method_of_the_store_is_measured_or_finds_rows_by_key() -> None:
    measured = {name.split()[0] for name in CALLS | CALLS_OF_MANY}
    assert set(methods()) == measured | BY_KEY | OF_ALL_ROWS
    assert not measured & (BY_KEY | OF_ALL_ROWS)
