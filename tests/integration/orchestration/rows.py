"""Direct access to the tables, for assertions and to change timestamps."""

from __future__ import annotations

import functools
import re
from copy import copy
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import DateTime, func, null

from dubline.orchestration.database.rows.batches import BatchRow
from dubline.orchestration.database.rows.jobs import JobRow
from dubline.orchestration.database.rows.uploads import UploadRow
from dubline.orchestration.database.store.transaction import OneStatement
from dubline.orchestration.domain.quotas import Holdings
from dubline.orchestration.domain.uploads import UploadState

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store
    from dubline.orchestration.domain.uploads import Upload, UploadFacts, UploadKind

_COUNTED = """
SELECT (SELECT count(*) FROM jobs WHERE tenant = :tenant AND finalized_at IS NULL),
    (SELECT coalesce(sum(round(speech_s * 1000)), 0) FROM jobs WHERE tenant = :tenant AND finalized_at IS NULL),
    (SELECT coalesce(sum(size_bytes), 0) FROM uploads WHERE tenant = :tenant)
    + (SELECT coalesce(sum(result_size_bytes), 0) FROM jobs WHERE tenant = :tenant AND result_deleted_at IS NULL)
"""
#: A parameter, but not a cast.
_PARAMETER = re.compile(r"(?<!:):([a-z]\w*)")


def rows(store: Store, statement: str, **values: Any) -> list[Any]:
    """Execute one statement with parameters such as `:id`; return its rows as named tuples."""
    return OneStatement(store._engine)(_of_driver(statement), **values)


def column(store: Store, query: str, **values: Any) -> list[Any]:
    """Return the first column of a query."""
    return [row[0] for row in rows(store, query, **values)]


def change(store: Store, statement: str, **values: Any) -> None:
    rows(store, statement, **values)


def ready_upload(store: Store, tenant: str, kind: UploadKind, content_type: str, facts: UploadFacts) -> Upload:
    """Insert a ready upload in one statement instead of the eleven of the calls that lead there."""
    ready = {"state": UploadState.READY, "finalized_at": func.now(), "probe_attempts": 1}
    found = asdict(facts) | {"faces": [one.as_json() for one in facts.faces] or null()}
    uploads = copy(store.uploads)
    uploads._insert = lambda new, limits: store.uploads._insert(new | ready | found, limits)  # type: ignore[method-assign]
    return uploads.insert(tenant, kind, content_type, facts.size_bytes)


def pending_deletion(store: Store) -> set[str]:
    return set(column(store, "SELECT object_key FROM doomed_objects"))


def pass_time(store: Store, seconds: float) -> None:
    """Move all timestamps of uploads, batches and jobs into the past."""
    for row in (UploadRow, BatchRow, JobRow):
        dates = [column.name for column in row.__table__.columns if isinstance(column.type, DateTime)]
        moved = ", ".join(f"{name} = {name} - make_interval(secs => :seconds)" for name in dates)
        change(store, f"UPDATE {row.__tablename__} SET {moved}", seconds=seconds)  # noqa: S608 - our own text


def counted_holdings(store: Store, tenant: str) -> Holdings:
    """Count what a tenant holds, row by row."""
    ((jobs, speech_ms, stored_bytes),) = rows(store, _COUNTED, tenant=tenant)
    return Holdings(jobs=jobs, speech_s=float(speech_ms) / 1000, stored_bytes=int(stored_bytes))


@functools.cache
def _of_driver(statement: str) -> str:
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%"))
