"""Attempts of the worker in this process, timed by parts: `python -m benchmarks.speed.attempts COUNT`.

`service.overhead` starts it with the environment of a stack whose queue has as many short jobs. It prints one line of
JSON for each attempt, in ms: all that is not the renderer's, by wall time and by processor time of this process, and
the wall time of its parts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dubline.worker.executors import factory
from dubline.worker.executors.factory import WorkerContext
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.shutdown import Shutdown
from dubline.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator


class Spent:
    """Wall time and processor time of named parts, ms."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = {}
        self.processor: dict[str, float] = {}

    @contextmanager
    def counted(self, name: str) -> Iterator[None]:
        """Count the time of a block for a part."""
        began_s, used_s = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[name] = self.wall.get(name, 0.0) + 1000 * (time.perf_counter() - began_s)
            self.processor[name] = self.processor.get(name, 0.0) + 1000 * (time.process_time() - used_s)


class Timed:
    """Counts the time in some methods of an object, and is otherwise like the object.

    Args:
        target: the object.
        methods: names of its methods, each with the name of its part; or with the methods of an attribute.
        spent: counts the time.
    """

    def __init__(self, target: Any, methods: dict[str, Any], spent: Spent) -> None:
        self._target, self._methods, self._spent = target, methods, spent

    def __getattr__(self, name: str) -> Any:
        value, part = getattr(self._target, name), self._methods.get(name)
        if part is None:
            return value
        if isinstance(part, dict):
            return Timed(value, part, self._spent)

        def call(*arguments: Any, **named: Any) -> Any:
            with self._spent.counted(part):
                return value(*arguments, **named)

        return call


def main() -> None:
    """Run attempts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int)
    count = parser.parse_args().count
    results, sys.stdout = sys.stdout, sys.stderr
    with tempfile.TemporaryDirectory() as folder:
        context = WorkerContext(
            settings=WorkerSettings.read(), folder=Path(folder), shutdown=Shutdown(), liveness=LivenessFile.at("")
        )
        executor: Any = factory.renderer(context)
        for _ in range(count):
            results.write(json.dumps(attempt(executor)) + "\n")


def attempt(executor: Any) -> dict[str, float]:
    """Run the next job of the queue; return the time of each part, in ms."""
    spent = Spent()
    leases = {"claim": "claim", "progress": "progress", "finish": "finish"}
    timed = replace(
        executor,
        renderer=Timed(executor.renderer, {"run": "render"}, spent),
        objects=Timed(executor.objects, {"get": "fetch", "put": "upload"}, spent),
        store=Timed(executor.store, {"leases": leases}, spent),
    )
    with spent.counted("all"):
        if not timed.run_next():
            raise SystemExit("the queue has too few jobs")

    def without_render(times: dict[str, float]) -> float:
        # Most of the progress is written while the renderer runs.
        return times["all"] - times["render"] + times["progress"]

    parts = {name: spent.wall[name] for name in ("claim", "fetch", "upload", "progress", "finish")}
    return {"wall": without_render(spent.wall), "processor": without_render(spent.processor), **parts}


if __name__ == "__main__":
    main()
