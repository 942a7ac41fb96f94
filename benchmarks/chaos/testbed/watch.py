"""Reads what renderers log, as it grows, into the history: the workers' own word on what they did."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from benchmarks.chaos.history import History

#: Events of the log that are kept, and their names in the history.
WORDS: Final = {
    "job_leased": "leased",
    "job_succeeded": "committed",
    "attempt_abandoned": "abandoned",
}
PIECE_BYTES: Final = 1 << 20


class Watch:
    """Follows the logs of the renderers.

    Args:
        logs: the files; they need not be there yet.
        history: gets the events.

    Attributes:
        commits: publications that were seen so far.
    """

    def __init__(self, logs: Iterable[Path], history: History) -> None:
        self.commits = 0
        self._history = history
        self._read = dict.fromkeys(logs, 0)

    def look(self) -> None:
        """Read on to the ends of the logs; a line that is not whole yet is left for the next look."""
        for path in self._read:
            while piece := self._piece(path):
                for line in piece.splitlines():
                    self._take(line)

    def _piece(self, path: Path) -> bytes:
        with suppress(FileNotFoundError), path.open("rb") as file:
            file.seek(self._read[path])
            whole, end, _ = file.read(PIECE_BYTES).rpartition(b"\n")
            self._read[path] += len(whole) + len(end)
            return whole + end
        return b""

    def _take(self, line: bytes) -> None:
        # What a killed process did not finish stands before the next one's first words, on the same line.
        event = _parsed(line[max(0, line.rfind(b'{"')) :]) or _parsed(line)
        what = WORDS.get(str(event.get("event")))
        if what is None or "job_id" not in event:
            return
        at = datetime.fromisoformat(event["timestamp"]).timestamp()
        self._history.note(what, at, id=event["job_id"], attempt=event["attempt"])
        self.commits += what == "committed"


def _parsed(line: bytes) -> Mapping[str, Any]:
    with suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}
