"""The raw history of a campaign: one JSON object a line, appended as things happen, read by the checker alone."""

from __future__ import annotations

import json
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

Event = dict[str, Any]


class History:
    """Appends events to a file, each at once; may be shared by threads.

    Every event has `at` (seconds since 1970, this machine's clock), `phase` and `what`.

    Args:
        path: the file; made anew.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("w", encoding="utf-8", buffering=1)
        self._lock = Lock()
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def begin(self, phase: str, **facts: object) -> None:
        """Name the phase that all later events belong to."""
        self._phase = phase
        self.note("begun", None, **facts)

    def note(self, what: str, at: float | None = None, **facts: object) -> None:
        """Write one event down.

        Args:
            what: a past-tense word.
            at: when it was, seconds since 1970; now if None.
            facts: anything that JSON can hold.
        """
        event = {"at": round(time.time() if at is None else at, 4), "phase": self._phase, "what": what, **facts}
        line = json.dumps(event, separators=(",", ":"), default=str)
        with self._lock:
            self._file.write(line + "\n")


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """Read a history back, a line at a time."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
