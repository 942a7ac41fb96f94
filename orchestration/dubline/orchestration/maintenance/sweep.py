"""The sweep: one pass over the bucket, for objects that no row knows.

A worker that was given up leaves such objects, and so does a presigned PUT that is used after its upload was
deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.storage.objects import Objects, StoredObject

#: Where our objects are. Whatever else lies in the bucket is not ours to remove.
PREFIXES: Final = ("checkpoints/", "results/", "uploads/")
PAGE: Final = 1000
#: More orphans than this share of all objects, and than this number, are taken for somebody else's files.
MOST_SHARE: Final = 0.5
MOST_MIN: Final = 100
#: Most doomed objects that are told from those that a row needs.
DOOMED_LIMIT: Final = 1_000_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a sweep saw."""

    objects: int = 0
    """All of them."""
    referenced: int = 0
    """Those that a row needs."""
    doomed: int = 0
    """Those that a row says are to be removed."""
    orphans: int = 0
    """Those of no row, and old enough that none will come."""

    @property
    def refused(self) -> bool:
        """Whether there are too many orphans to be ours."""
        return self.orphans > MOST_MIN and self.orphans > self.objects * MOST_SHARE

    def __add__(self, other: Findings) -> Findings:
        return Findings(
            objects=self.objects + other.objects,
            referenced=self.referenced + other.referenced,
            doomed=self.doomed + other.doomed,
            orphans=self.orphans + other.orphans,
        )


def sweep_bucket(
    store: Store, objects: Objects, orphan_age_s: float, *, dry_run: bool = False, even_most: bool = False
) -> Findings:
    """Look at every object, and doom the orphans in a second pass.

    Where most objects are of no row, these are not the rows of this bucket: a database that was restored from an old
    copy, or another installation's. Then nothing is doomed.

    Args:
        store: the rows.
        objects: the bucket.
        orphan_age_s: seconds that an object may be there before its row.
        dry_run: doom nothing.
        even_most: doom them all the same.

    Raises:
        StorageUnavailableError: the pass ends early; what it doomed stays doomed.
    """
    seen = _pass(store, objects, orphan_age_s, dry_run=True)
    if seen.orphans:
        _log.warning("orphans_found", count=seen.orphans, dry_run=dry_run)
    if dry_run or not seen.orphans:
        return seen
    if seen.refused and not even_most:
        _log.error("sweep_refused", objects=seen.objects, orphans=seen.orphans)
        return seen
    return _pass(store, objects, orphan_age_s, dry_run=False)


def _pass(store: Store, objects: Objects, orphan_age_s: float, *, dry_run: bool) -> Findings:
    before = datetime.now(UTC) - timedelta(seconds=orphan_age_s)
    doomed = frozenset(store.deletions.doomed(DOOMED_LIMIT))
    findings = Findings()
    for page in _pages(objects):
        known = store.deletions.referenced([one.key for one in page])
        lost = {one.key for one in page if one.modified_at < before} - known
        findings += Findings(
            objects=len(page),
            referenced=len(known - doomed),
            doomed=len(known & doomed),
            orphans=len(lost) if dry_run else store.deletions.orphaned(lost),
        )
    return findings


def _pages(objects: Objects) -> Iterator[list[StoredObject]]:
    found = chain.from_iterable(objects.list(prefix) for prefix in PREFIXES)
    while page := list(islice(found, PAGE)):
        yield page
