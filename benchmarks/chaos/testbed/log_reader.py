"""Log reader: copies what renderers log about their jobs into the history."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from benchmarks.chaos.history import History

#: Log events that are copied, and their names in the history.
EVENTS: Final = {
    "job_leased": "leased",
    "job_succeeded": "committed",
    "attempt_abandoned": "abandoned",
}
CHUNK_BYTES: Final = 1 << 20


class LogReader:
    """Reads the growing logs of the renderers.

    Args:
        logs: log files; a file may appear later.
        history: receives the events.

    Attributes:
        commits: `committed` events read so far.
    """

    def __init__(self, logs: Iterable[Path], history: History) -> None:
        self.commits = 0
        self._history = history
        self._offsets = dict.fromkeys(logs, 0)

    def read(self) -> None:
        """Read the lines appended since the last call; an incomplete last line is read by a later call."""
        for path in self._offsets:
            while chunk := self._complete_lines(path):
                for line in chunk.splitlines():
                    self._record(line)

    def _complete_lines(self, path: Path) -> bytes:
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(self._offsets[path])
            complete, end, _ = file.read(CHUNK_BYTES).rpartition(b"\n")
            self._offsets[path] += len(complete) + len(end)
            return complete + end
        return b""

    def _record(self, line: bytes) -> None:
        # A killed process may leave an incomplete line; the next process then continues on the same line.
        event = _parse(line[max(0, line.rfind(b'{"')) :]) or _parse(line)
        what = EVENTS.get(str(event.get("event")))
        if what is None or "job_id" not in event:
            return
        at = datetime.fromisoformat(event["timestamp"]).timestamp()
        self._history.record(what, at, id=event["job_id"], attempt=event["attempt"])
        self.commits += what == "committed"


def _parse(line: bytes) -> Mapping[str, Any]:
    with suppress(ValueError):
        parsed = json.loads(line)
        if isinstance(parsed, dict):
            return parsed
    return {}
