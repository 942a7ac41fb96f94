"""Storing of finished segments by a thread, while the next ones are rendered."""

from __future__ import annotations

import contextvars
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from dubline.orchestration.domain.checkpoints import CheckpointKind
from dubline.worker.rendering.ahead import result

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from pathlib import Path
    from types import TracebackType

    from dubline.worker.rendering.checkpoints import Checkpoints


class Keeper:
    """Stores one segment at a time. The `with` block ends when the last one is stored or has failed.

    Args:
        checkpoints: of the job.
        report: called while waiting; may raise to stop.
    """

    def __init__(self, checkpoints: Checkpoints, report: Callable[[], None]) -> None:
        self._checkpoints, self._report = checkpoints, report
        self._pool = ThreadPoolExecutor(1, "keep")
        self._stored: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error too: a segment that is stored need not be rendered again.
        self._pool.shutdown()

    def keep(self, number: int, path: Path) -> None:
        """Begin to store a segment, once the one before is stored.

        Raises:
            Exception: what stopped the one before.
        """
        self.finish()
        call = contextvars.copy_context().run
        self._stored = self._pool.submit(call, self._checkpoints.keep, CheckpointKind.SEGMENT, number, path)

    def finish(self) -> None:
        """Wait until all is stored; raise what stopped it."""
        stored, self._stored = self._stored, None
        if stored is not None:
            result(stored, self._report)
