"""Raw history of a campaign: a file with one JSON object per line, appended while the campaign runs."""

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
    """Append-only event file; each event is written at once; safe for several threads.

    Every event has `at` (seconds since 1970, clock of this machine), `phase` and `what`.

    Args:
        path: file to create; an existing one is overwritten.
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

    def start_phase(self, phase: str, **facts: object) -> None:
        """Set the phase of all following events."""
        self._phase = phase
        self.record("phase_started", None, **facts)

    def record(self, what: str, at: float | None = None, **facts: object) -> None:
        """Append one event.

        Args:
            what: name of the event, in past tense.
            at: time of the event, seconds since 1970; None means now.
            facts: values that JSON can hold.
        """
        event = {"at": round(time.time() if at is None else at, 4), "phase": self._phase, "what": what, **facts}
        line = json.dumps(event, separators=(",", ":"), default=str)
        with self._lock:
            self._file.write(line + "\n")


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the events of a history in the order of the file."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
