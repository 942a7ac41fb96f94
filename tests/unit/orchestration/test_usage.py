"""Reading of usage without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy

from dubline.orchestration.database.store.accounts.usage import UsageTotals


def test_a_trace_may_end_with_the_last_day_of_the_calendar() -> None:
    read: list[datetime] = []

    def statement(_: str, before: datetime, **__: Any) -> list[Any]:
        read.append(before)
        return []

    usage = UsageTotals(sqlalchemy.create_engine("postgresql+psycopg://"))
    usage._run = statement  # type: ignore[assignment]
    now = datetime.now(UTC)
    assert list(usage.trace(now.date(), date.max)) == []
    assert now + timedelta(days=1) < read[-1] < now + timedelta(days=3)
