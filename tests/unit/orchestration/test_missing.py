from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from dubline.orchestration.maintenance.missing import _absent
from dubline.orchestration.storage.objects import StoredObject

KEYS = st.sets(st.text("abc", min_size=1, max_size=3), max_size=12)


@given(KEYS, KEYS)
def test_rows_without_their_object_are_found_whatever_else_is_stored(keys: set[str], stored: set[str]) -> None:
    rows: list[tuple[UUID, str]] = [(uuid4(), key) for key in sorted(keys)]
    objects = (StoredObject(key=key, size_bytes=1, modified_at=datetime.now(UTC)) for key in sorted(stored))
    assert list(_absent(rows, objects)) == [(row_id, key) for row_id, key in rows if key not in stored]
