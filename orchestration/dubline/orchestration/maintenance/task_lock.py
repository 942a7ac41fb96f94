"""The lock of a periodic task in one process, which keeps it for one run or for as long as it makes runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from dubline.orchestration.database.store import Store
    from dubline.orchestration.maintenance.scheduler import PeriodicTask


class TaskLock:
    """Runs a task only while no other process does. One thread uses it.

    Args:
        store: the database.
        task: the task. With `memory` the lock is kept between runs; a run that fails releases it.
    """

    def __init__(self, store: Store, task: PeriodicTask) -> None:
        self._store, self._task = store, task
        self._kept = ExitStack()
        self._check: Callable[[], None] | None = None

    def run(self) -> bool:
        """Run the task once, unless another process holds its lock.

        Returns:
            Whether it was run.
        """
        check, self._check = self._check, None
        with self._kept.pop_all() as held:
            if check is not None:
                check()
            else:
                check = held.enter_context(self._store.lock(self._task.lock))
                if check is None:
                    return False
                if self._task.memory is not None:
                    held.enter_context(self._task.memory())
            self._task.run()
            if self._task.memory is not None:
                self._check, self._kept = check, held.pop_all()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kept.close()
