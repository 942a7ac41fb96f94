"""The course of a phase: it runs on a testbed, and its final state and logs are kept, also those of a stalled one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.chaos.phases.final_state import record_final_state, saved_logs
from benchmarks.chaos.testbed.log_reader import LogReader
from benchmarks.chaos.testbed.sender import Sender
from benchmarks.chaos.testbed.stall_detector import StalledError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.chaos.history import History
    from benchmarks.chaos.progress import Progress
    from benchmarks.chaos.testbed.testbed import Testbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a phase works with."""

    testbed: Testbed
    """Running stack."""
    sender: Sender
    """Sends jobs."""
    log_reader: LogReader
    """Reads the logs of the workers."""


@contextmanager
def begun(testbed: Testbed, history: History, progress: Progress, folder: Path) -> Iterator[Course]:
    """Run the block on a testbed. A stall ends it and is recorded.

    Args:
        testbed: not entered yet.
        history: receives the events.
        progress: prints the progress.
        folder: receives the logs.

    Raises:
        EmbeddedError: the stack cannot be started.
        psycopg.Error: the rows cannot be read at the end.
    """
    with (
        testbed,
        saved_logs(testbed, folder / "logs"),
        Sender(testbed.stack.url, testbed.stack.key, history) as sender,
    ):
        log_reader = LogReader(testbed.logs().values(), history)
        try:
            yield Course(testbed=testbed, sender=sender, log_reader=log_reader)
        except StalledError as stalled:
            history.record("stalled", reason=str(stalled))
            progress.print(str(stalled))
        log_reader.read()
        record_final_state(testbed, history)
        progress.print(f"{log_reader.commits} videos published")
