"""Compute time per second of video, by preset and stage: `python -m benchmarks.render [PORTRAIT] [--height-px N]`.

Times the worker's pipeline on the CPU of this machine with loaded networks. Compare the shares of the
stages rather than the times.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Final

import torch
from PIL import Image

from dubline.framing import face
from dubline.models.presets import PRESETS
from dubline.options.render import OutputOptions, RenderOptions
from dubline.orchestration.domain.jobs import Stage
from dubline.worker.media import track
from dubline.worker.media.container import identify
from dubline.worker.rendering import device
from dubline.worker.rendering.job import RenderJob
from dubline.worker.rendering.model_cache import ModelCache
from dubline.worker.rendering.pipeline import Renderer
from dubline.worker.rendering.weights_cache import WeightsCache

DEMO: Final = Path(__file__).parents[1] / "demo"


def processor() -> str:
    """Return the model name of the processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


class StageClock:
    """Measures the wall time of each stage from the progress reports of the pipeline.

    Attributes:
        seconds: wall time by stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[Stage, float] = {}
        self._stage, self._since = Stage.PREPARING, time.perf_counter()

    def __call__(self, stage: Stage, percent: float) -> None:  # noqa: ARG002 - the pipeline's callback
        """Add the time since the last report to the stage of the last report."""
        now = time.perf_counter()
        self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now


def main(portrait: Path, speech: Path, height_px: int | None) -> None:
    """Measure every preset."""
    device.make_deterministic()
    with Image.open(portrait) as picture:
        width, height = picture.size
        found = face.find(picture.convert("RGB"))
    if found is None:
        raise SystemExit(f"no face found in {portrait}")
    with speech.open("rb") as file:
        container = identify(file)
        duration_s = track.measure(file, 0.2, 3600).duration_s
    print(f"{processor()}, {torch.get_num_threads()} threads, {width} x {height} portrait")
    for preset in PRESETS:
        job = RenderJob(
            portrait=portrait,
            portrait_px=width * height,
            face=found,
            speech=speech,
            container=container,
            duration_s=duration_s,
            options=RenderOptions(preset=preset, seed=0, output=OutputOptions(height_px=height_px)),
        )
        measure(job)


def measure(job: RenderJob) -> None:
    """Render twice and print the times of the second run, when everything is loaded."""
    with tempfile.TemporaryDirectory() as folder:
        # No bucket is needed for the weights of the package.
        weights = WeightsCache(Path(folder), limit_bytes=10**9, objects=None)  # type: ignore[arg-type]
        models = ModelCache(torch.device("cpu"), weights, budget_bytes=10**9)
        models.get(job.options.preset)
    renderer = Renderer(models)
    for _ in range(2):
        clock, started = StageClock(), time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            video_s = renderer.run(job, Path(folder), clock).duration_s
            clock(Stage.STORING, 100)
        total_s = time.perf_counter() - started
    print(f"{job.options.preset}, {video_s:.2f} s of video")
    for stage, seconds in clock.seconds.items():
        print(f"  {stage.value:10} {seconds / video_s:6.3f} s/s  {100 * seconds / total_s:5.1f} %")
    print(f"seconds_per_second={total_s / video_s:.3f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("portrait", type=Path, nargs="?", default=DEMO / "portraits/ada.jpg")
    parser.add_argument("speech", type=Path, nargs="?", default=DEMO / "speech/english.mp3")
    parser.add_argument("--height-px", type=int, help="height of the video; default: the portrait's")
    options = parser.parse_args()
    main(options.portrait, options.speech, options.height_px)
