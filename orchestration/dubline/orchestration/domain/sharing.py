"""Sharing of a long job: how many workers it is worth, and what a participant knows about its segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Least number of segments that are left for each worker when one more joins. To join takes about as long as one
#: segment: files are fetched, the portrait is decoded and encoded, networks may have to be loaded.
SEGMENTS_PER_WORKER: Final = 4
#: Least number of segments of a job that is shared: enough for two workers.
LEAST_SEGMENTS: Final = 2 * SEGMENTS_PER_WORKER
#: Number of workers that failed at a job before they stored a segment, after which no other one helps.
LARGEST_FAILURES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """The segments of a shared job, as one of its workers sees them."""

    reserved: int | None
    """Number of a segment that this worker has to render now; None: others have reserved or stored all."""
    stored: frozenset[int]
    """Numbers of the segments that are stored."""
