"""Renders jobs with the packages of one checkout: `python -m benchmarks.speed.child ROOMS`.

`sides.Side` starts it with the packages of that checkout first on the path. It reads a job per line of standard input
and writes the costs of the job as a line of standard output. Only what is common to all checkouts since befc839 is
used; parameters that a checkout does not have yet are left out.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, Self

from benchmarks.machine import family, memory_mb, own_share_mb, processor_s

from dubline import worker
from dubline.framing.face import FaceBox
from dubline.options.render import OutputOptions, RenderOptions
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.media.container import WAV
from dubline.worker.rendering import device
from dubline.worker.rendering.job import RenderJob
from dubline.worker.rendering.model_cache import ModelCache
from dubline.worker.rendering.pipeline import Renderer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

MODEL_BYTES: Final = 2 * 10**9
#: Time between two readings of the memory of all processes.
WATCH_S: Final = 0.2


class StageClock:
    """Measures the wall time of each stage from the progress reports of the pipeline."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = Stage.PREPARING, time.perf_counter()

    def __call__(self, stage: Stage, percent: float) -> None:  # noqa: ARG002 - the pipeline's callback
        """Add the time since the last report to the stage of the last report."""
        now = time.perf_counter()
        self.seconds[self._stage.value] = self.seconds.get(self._stage.value, 0.0) + now - self._since
        self._stage, self._since = stage, now


class MemoryWatch:
    """Reads the memory of this process and its children while it is entered."""

    def __init__(self) -> None:
        self.all_mb = 0.0
        """Largest resident memory of all together."""
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak of this process
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def own_mb(self) -> float:
        """Peak of this process."""
        return memory_mb("self", "VmHWM")[0]

    def _watch(self) -> None:
        while not self._ended.wait(WATCH_S):
            self.all_mb = max(self.all_mb, sum(map(own_share_mb, family(os.getpid()))))


def renderer(on: torch.device, folder: Path) -> Renderer:
    """Make the pipeline of this checkout, with the weights of its package."""
    if "weights" not in inspect.signature(ModelCache).parameters:
        return Renderer(ModelCache(on))  # type: ignore[call-arg]
    from dubline.worker.rendering.weights_cache import WeightsCache  # noqa: PLC0415 - a former checkout has none

    # No bucket is needed for the weights of the package.
    weights = WeightsCache(folder, limit_bytes=MODEL_BYTES, objects=None)  # type: ignore[arg-type]
    return Renderer(ModelCache(on, weights, budget_bytes=MODEL_BYTES))


def job(described: Mapping[str, Any]) -> RenderJob:
    """Make a job of the values that `jobs.Case` describes."""
    output = OutputOptions(height_px=described.get("height_px"))
    values = {
        "portrait": Path(described["portrait"]),
        "portrait_px": described["width_px"] * described["picture_height_px"],
        "face": FaceBox(*described["face"]),
        "speech": Path(described["speech"]),
        "container": WAV,
        "duration_s": described["duration_s"],
        "options": RenderOptions(preset=described["preset"], seed=0, output=output),
    }
    known = {field.name for field in fields(RenderJob)}
    return RenderJob(**{name: value for name, value in values.items() if name in known})


def family_s() -> float:
    """Return the processor time of this process and of all its descendants, s: those of ncnn outlive a job."""
    return sum(map(processor_s, family(os.getpid())))


def measure(pipeline: Renderer, one: RenderJob) -> dict[str, Any]:
    """Render a job; return its costs."""
    clock, began_s, processor_before_s = StageClock(), time.perf_counter(), family_s()
    with tempfile.TemporaryDirectory() as folder, MemoryWatch() as memory:
        video_s = pipeline.run(one, Path(folder), clock).duration_s
        clock(Stage.STORING, 100)
        wall_s = time.perf_counter() - began_s
        used_s = family_s() - processor_before_s
    return {
        "video_s": video_s,
        "wall_s": wall_s,
        "processor_s": used_s,
        "stages_s": clock.seconds,
        "own_mb": memory.own_mb,
        "all_mb": memory.all_mb,
    }


def main() -> None:
    """Render jobs until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rooms", type=Path, help="folder of the checkout")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--processors", type=int, default=1024, help="that this process may use, at most")
    options = parser.parse_args()
    if not Path(str(worker.__file__)).is_relative_to(options.rooms.resolve()):
        raise SystemExit(f"imported {worker.__file__}, which is not in {options.rooms}")
    # Nothing but results goes to standard output.
    results, sys.stdout = sys.stdout, sys.stderr
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.processors])
    device.make_deterministic()
    with tempfile.TemporaryDirectory() as folder:
        pipeline = renderer(device.choose(options.device), Path(folder))
        for line in sys.stdin:
            results.write(json.dumps(measure(pipeline, job(json.loads(line)))) + "\n")
            results.flush()


if __name__ == "__main__":
    main()
