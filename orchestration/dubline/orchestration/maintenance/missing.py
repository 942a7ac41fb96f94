"""Search for rows whose object is not in the bucket, as after the restore of an older database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.orchestration.domain.object_keys import tenant_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from uuid import UUID

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects, StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingObject:
    """A row whose object is not in the bucket."""

    kind: str
    """`job`, whose video is missing, or `upload`."""
    id: UUID
    key: str


def missing_objects(store: Store, objects: Objects) -> Iterator[MissingObject]:
    """Compare all rows with the bucket. Rows and keys are read in the same order, one page at a time.

    Checkpoints are not compared: a worker renders again what it cannot download.

    Raises:
        StorageUnavailableError: the bucket does not respond.
    """
    for job_id, key in _absent(store.restored.results(), objects.list("results/")):
        yield MissingObject(kind="job", id=job_id, key=key)
    for tenant in store.restored.tenants():
        for upload_id, key in _absent(store.restored.uploads(tenant), objects.list(tenant_prefix(tenant))):
            yield MissingObject(kind="upload", id=upload_id, key=key)


def _absent(rows: Iterable[tuple[UUID, str]], stored: Iterator[StoredObject]) -> Iterator[tuple[UUID, str]]:
    found = next(stored, None)
    for row_id, key in rows:
        while found is not None and found.key < key:
            found = next(stored, None)
        if found is None or found.key != key:
            yield row_id, key
