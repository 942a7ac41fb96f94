"""The sweep: one pass over the bucket that marks orphans, objects without a row, for deletion.

Orphans are left by workers that were killed, and by a presigned PUT that is used after its upload was deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration.domain.object_keys import OWN_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects, StoredObject

PAGE: Final = 1000
#: A sweep is refused when orphans exceed this share of all objects and this number.
MOST_SHARE: Final = 0.5
MOST_MIN: Final = 100
#: It is also refused when more objects than this were made for jobs without a row. A job that is deleted while it is
#: rendered leaves one at most; a restored copy of the database lacks all newer jobs.
JOBLESS_MAX: Final = 100

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Numbers of objects that a sweep found."""

    objects: int = 0
    """All objects."""
    referenced: int = 0
    """Objects that a row references."""
    pending_deletion: int = 0
    """Objects that are marked for deletion."""
    orphans: int = 0
    """Objects without a row that are older than any insert can take."""
    jobless: int = 0
    """Those of them that were made for a job which has no row."""

    @property
    def refused(self) -> bool:
        """Whether there are so many orphans that the database is probably older than the bucket, or another one's."""
        most = self.orphans > MOST_MIN and self.orphans > self.objects * MOST_SHARE
        return most or self.jobless > JOBLESS_MAX

    def __add__(self, other: SweepResult) -> SweepResult:
        return SweepResult(
            objects=self.objects + other.objects,
            referenced=self.referenced + other.referenced,
            pending_deletion=self.pending_deletion + other.pending_deletion,
            orphans=self.orphans + other.orphans,
            jobless=self.jobless + other.jobless,
        )


def sweep_bucket(
    store: Store, objects: Objects, orphan_age_s: float, *, dry_run: bool = False, even_most: bool = False
) -> SweepResult:
    """Count the objects in a first pass, and mark the orphans for deletion in a second one.

    If most objects are orphans, or many were made for jobs without a row, the database was probably restored from an
    old copy or belongs to another installation. Then nothing is marked.

    Args:
        store: the rows.
        objects: the bucket.
        orphan_age_s: age from which an object without a row is an orphan.
        dry_run: only count.
        even_most: mark the orphans even then.

    Raises:
        StorageUnavailableError: the pass ends early; marks already made stay.
    """
    found = _pass(store, objects, orphan_age_s, dry_run=True)
    if found.orphans:
        _log.warning("orphans_found", count=found.orphans, dry_run=dry_run)
    if dry_run or not found.orphans:
        return found
    if found.refused and not even_most:
        _log.error("sweep_refused", objects=found.objects, orphans=found.orphans, jobless=found.jobless)
        return found
    return _pass(store, objects, orphan_age_s, dry_run=False)


def _pass(store: Store, objects: Objects, orphan_age_s: float, *, dry_run: bool) -> SweepResult:
    oldest_young = datetime.now(UTC) - timedelta(seconds=orphan_age_s)
    result = SweepResult()
    for page in _pages(objects):
        known = store.deletions.referenced([one.key for one in page])
        pending = store.deletions.pending_among(known)
        orphans = {one.key for one in page if one.modified_at < oldest_young} - known
        result += SweepResult(
            objects=len(page),
            referenced=len(known) - len(pending),
            pending_deletion=len(pending),
            jobless=store.deletions.without_job(orphans) if dry_run else 0,
            orphans=len(orphans) if dry_run else store.deletions.orphaned(orphans),
        )
    return result


def _pages(objects: Objects) -> Iterator[list[StoredObject]]:
    found = chain.from_iterable(objects.list(f"{folder}/") for folder in sorted(OWN_FOLDERS))
    while page := list(islice(found, PAGE)):
        yield page
