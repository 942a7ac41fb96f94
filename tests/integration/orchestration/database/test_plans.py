"""What each statement of the store reads does not grow with the tables: plans in tables of 10,000 jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from benchmarks.plans import CALLS, CALLS_OF_BATCH, TENANT, Plans, fill, outline, recorded
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from dubline.orchestration.database.store import Store
from dubline.orchestration.database.store.schema import migrate
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS: Final = 10_000
#: Blocks that a call may read: pages of an index and of its rows. The table of jobs has more than 350.
BLOCKS: Final = 60
#: A call that reads each row of a batch of 1,000.
BLOCKS_OF_BATCH: Final = 90


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


@pytest.mark.parametrize("name", CALLS_OF_BATCH)
def test_a_call_reads_no_more_than_one_batch(large: tuple[Store, Plans], name: str) -> None:
    store, plans = large
    costs = plans.measure(lambda: CALLS_OF_BATCH[name](store), 1)
    assert 0 < max(costs.blocks) <= BLOCKS_OF_BATCH, [outline(plan) for plan in costs.plans]
