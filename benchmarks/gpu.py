"""The GPU path in at most eight minutes: parity with the CPU, speed by batch and size, busy share, memory, encoders.

    python -m benchmarks.gpu [--device cuda] [--out out/gpu.json]

Each section prints its rows as soon as it has them, and writes all rows as JSON. Sections that do not fit into
--limit-s are cut short and named. `--device cpu --quick` runs every section at the smallest sizes, as a test of the
script.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import torch
from benchmarks import machine
from benchmarks.encoders import encoder_rates
from benchmarks.scene import Scene
from benchmarks.speed import inputs, report
from benchmarks.speed.jobs import Case
from benchmarks.speed.sides import Side
from rich.console import Console

from dubline.models.precision import bf16_autocast
from dubline.models.sampling import sample_motion
from dubline.options.output import exit_if_unread
from dubline.worker.rendering import device

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dubline.models.stage1.autoencoder import Fields

PRESETS: Final = ("base", "tiny")
BATCHES: Final = (8, 16, 32, 64)
SIDES_PX: Final = (256, 592, 1648)
REPEATS: Final = 10
#: Frames of one preset that are compared with the CPU's.
COMPARED: Final = 8


class Plan(NamedTuple):
    """What is measured."""

    device: torch.device
    quick: bool
    """Smallest sizes."""

    @property
    def presets(self) -> tuple[str, ...]:
        """The presets."""
        return ("tiny",) if self.quick else PRESETS

    @property
    def batches(self) -> tuple[int, ...]:
        """Frames per call."""
        return (1, 2) if self.quick else BATCHES

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Sides of the crop."""
        return (64,) if self.quick else SIDES_PX

    @property
    def repeats(self) -> int:
        """Measured calls."""
        return 1 if self.quick else REPEATS


def parity(plan: Plan) -> Iterator[dict[str, Any]]:
    """Compare frames with the CPU's: PSNR of the worst frame, with TF32 too; and with a second run: equal or not."""
    count = 2 if plan.quick else COMPARED
    for preset in plan.presets:
        side = plan.sides_px[min(1, len(plan.sides_px) - 1)]
        expected = Scene.make(preset, side, torch.device("cpu"))
        scene = Scene.make(preset, side, plan.device)
        motion = expected.motion(count)
        truth = expected.frames(motion)
        found = scene.frames(motion.to(plan.device))
        again = scene.frames(motion.to(plan.device))
        with _tf32(plan.device):
            rounded = scene.frames(motion.to(plan.device))
        alone = np.concatenate([scene.frames(one[None]) for one in motion.to(plan.device)])
        yield {
            "name": preset,
            "worst_psnr_db": _worst_psnr(truth, found),
            "worst_psnr_tf32_db": _worst_psnr(truth, rounded),
            "second run equal": bool((found == again).all()),
            "batch 1, worst_psnr_db": _worst_psnr(found, alone),
        }


def rates(plan: Plan) -> Iterator[dict[str, Any]]:
    """Measure frames per second and memory by preset, side and batch; eager."""
    for preset in plan.presets:
        for side in plan.sides_px:
            scene = Scene.make(preset, side, plan.device)
            for batch in plan.batches:
                motion = scene.motion(batch)
                _reset_memory(plan.device)
                try:
                    networks_s = _seconds(partial(scene.fields, motion), plan)
                    whole_s = _seconds(partial(scene.frames, motion), plan)
                except torch.OutOfMemoryError:
                    yield {"name": f"{preset}, {side} px, batch {batch}", "error": "out of memory"}
                    break
                yield {
                    "name": f"{preset}, {side} px, batch {batch}",
                    "networks_fps": batch / networks_s,
                    "whole_fps": batch / whole_s,
                    "peak_mb": _peak_mb(plan.device),
                    "chosen": batch == device.render_batch(scene.networks.preset.render_batch, plan.device, side),
                }


def launches(plan: Plan) -> Iterator[dict[str, Any]]:
    """Compare the networks called eagerly, by a CUDA graph and by torch.compile: rate, time to prepare, equal bits."""
    for preset in plan.presets:
        scene = Scene.make(preset, plan.sides_px[0], plan.device)
        for batch in plan.batches[:2]:
            motion = scene.motion(batch)
            expected = scene.fields(motion)
            for name, prepare in (("eager", _eager), ("graph", _graph), ("compile", _compiled)):
                row: dict[str, Any] = {"name": f"{preset}, batch {batch}, {name}"}
                began_s = time.perf_counter()
                try:
                    call = prepare(scene, motion)
                    found = call()
                    _synchronize(plan.device)
                    row["prepare_s"] = time.perf_counter() - began_s
                    row["fps"] = batch / _seconds(call, plan)
                    pairs = zip(_tensors(expected), _tensors(found), strict=True)
                    row["equal"] = all(torch.equal(one, other) for one, other in pairs)
                except Exception as error:  # noqa: BLE001 - each way may be unsupported, and the others are measured
                    row["error"] = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
                yield row


def _eager(scene: Scene, motion: torch.Tensor) -> Callable[[], Fields]:
    return partial(scene.fields, motion)


def _graph(scene: Scene, motion: torch.Tensor) -> Callable[[], Fields]:
    if scene.on.type != "cuda":
        raise RuntimeError("CUDA graphs need CUDA")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            scene.fields(motion)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = scene.fields(motion)

    def call() -> Fields:
        graph.replay()
        return captured

    return call


def _compiled(scene: Scene, motion: torch.Tensor) -> Callable[[], Fields]:
    if scene.on.type != "cuda":
        raise RuntimeError("only compiled for CUDA")
    fields = torch.compile(scene.networks.autoencoder.fields)

    def call() -> Fields:
        with bf16_autocast(scene.on):
            found: Fields = fields(scene.source, motion)
        return found

    return call


def sampling(plan: Plan) -> Iterator[dict[str, Any]]:
    """Measure the seconds to sample a second of motion, and compare the motion with the CPU's."""
    seconds = 1 if plan.quick else 20
    for preset in plan.presets:
        scenes = [Scene.make(preset, 64, on) for on in (torch.device("cpu"), plan.device)]
        rate_hz = scenes[0].networks.preset.sample_rate_hz
        noise = np.random.default_rng(0).normal(size=rate_hz).astype(np.float32) * 0.1
        found, took_s = [], 0.0
        for scene in scenes:
            began_s = time.perf_counter()
            frames = seconds * scene.networks.preset.fps
            windows = sample_motion(scene.networks, scene.source, partial(iter, [noise] * seconds), frames, 0)
            found.append(torch.cat(list(windows)).float())
            took_s = time.perf_counter() - began_s
        difference = (found[0] - found[1]).abs().max() / found[0].std()
        yield {"name": preset, "s_per_s": took_s / seconds, "largest difference, sd": float(difference)}


def jobs(plan: Plan) -> Iterator[dict[str, Any]]:
    """Render whole jobs with the worker: seconds for a second of video by stage, and the busy share of the GPU."""
    with tempfile.TemporaryDirectory() as name, Side(on=str(plan.device)) as side:
        folder = Path(name)
        small, large = inputs.portrait(), inputs.close_up(folder)
        kinds = [Case(name="tiny, 128 px", preset="tiny", picture=small, speech_s=0.4, height_px=128)]
        if not plan.quick:
            kinds = [
                Case(name=f"{preset}, {size}, {speech_s:g} s", preset=preset, picture=picture, speech_s=speech_s)
                for preset in plan.presets
                for size, picture in (("512 px", small), ("1080 x 1920 px", large))
                for speech_s in (4.0, 30.0)
            ]
        for kind in kinds:
            side.render(kind.described(folder, 0.4))
            with BusyShare(plan.device) as busy:
                costs = side.render(kind.described(folder))
            stages = {stage: seconds / costs["video_s"] for stage, seconds in costs["stages_s"].items()}
            yield {
                "name": kind.name,
                "s_per_s": costs["wall_s"] / costs["video_s"],
                "processor_s_per_s": costs["processor_s"] / costs["video_s"],
                **{f"{stage}_s_per_s": value for stage, value in stages.items()},
                "busy_percent": busy.percent,
            }


def together(plan: Plan) -> Iterator[dict[str, Any]]:
    """Render the same job in one or more workers on the device at once: seconds of video per second, and busy share.

    Each worker has an x264 of its own, which is expected to be the bottleneck of one.
    """
    preset, height_px = plan.presets[0], 128 if plan.quick else None
    for count in (1,) if plan.quick else (1, 2, 4):
        with tempfile.TemporaryDirectory() as name, ExitStack() as opened:
            kind = Case(name="job", preset=preset, picture=inputs.portrait(), speech_s=10.0, height_px=height_px)
            job, first = (kind.described(Path(name), length) for length in (0.4 if plan.quick else 10.0, 0.4))
            sides = [opened.enter_context(Side(on=str(plan.device))) for _ in range(count)]
            threads = opened.enter_context(ThreadPoolExecutor(count))
            list(threads.map(lambda side, first=first: side.render(first), sides))
            began_s = time.perf_counter()
            with BusyShare(plan.device) as busy:
                costs = list(threads.map(lambda side, job=job: side.render(job), sides))
            video_s = sum(one["video_s"] for one in costs)
            yield {
                "name": f"{preset}, {count} workers",
                "video_s_per_s": video_s / (time.perf_counter() - began_s),
                "busy_percent": busy.percent,
            }


class BusyShare:
    """Reads the share of time in which the GPU runs kernels, with nvidia-smi; NaN without it.

    Args:
        on: the device.
    """

    def __init__(self, on: torch.device) -> None:
        self._is_gpu = on.type == "cuda"
        self._process: subprocess.Popen[str] | None = None
        self.percent = math.nan
        """Mean of the readings."""

    def __enter__(self) -> BusyShare:  # noqa: PYI034 - the class is not subclassed
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
        if self._is_gpu:
            try:
                self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            except OSError:
                self._process = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            readings = [int(line) for line in self._process.communicate()[0].split() if line.isdigit()]
            self.percent = float(np.mean(readings)) if readings else math.nan


def encoders(plan: Plan) -> Iterator[dict[str, Any]]:
    """Measure x264 in one or more processes, and NVENC where the driver has it."""
    return encoder_rates(quick=plan.quick)


SECTIONS: Final[dict[str, Callable[[Plan], Iterator[dict[str, Any]]]]] = {
    "parity": parity,
    "rates": rates,
    "jobs": jobs,
    "together": together,
    "launches": launches,
    "encoders": encoders,
    "sampling": sampling,
}


def _tf32(on: torch.device) -> Any:
    if on.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=True)


def _worst_psnr(expected: NDArray[np.uint8], found: NDArray[np.uint8]) -> float:
    errors = np.square(expected.astype(np.float64) - found).mean(axis=(1, 2))
    return 10 * float(np.log10(255**2 / max(errors.max(), 1e-9)))


def _tensors(fields: Fields) -> tuple[torch.Tensor, ...]:
    return fields.displacement, *fields.generated


def _seconds(call: Callable[[], object], plan: Plan) -> float:
    """Return the mean wall time of a call, after one that is not counted."""
    call()
    _synchronize(plan.device)
    began_s = time.perf_counter()
    for _ in range(plan.repeats):
        call()
    _synchronize(plan.device)
    return (time.perf_counter() - began_s) / plan.repeats


def _synchronize(on: torch.device) -> None:
    if on.type == "cuda":
        torch.cuda.synchronize(on)


def _reset_memory(on: torch.device) -> None:
    if on.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(on)


def _peak_mb(on: torch.device) -> float:
    return torch.cuda.max_memory_allocated(on) / 2**20 if on.type == "cuda" else machine.memory_mb("self", "VmHWM")[0]


def facts(on: torch.device) -> dict[str, Any]:
    """Return what the figures depend on."""
    found: dict[str, Any] = {"processor": machine.processor(), "torch": torch.__version__, "device": str(on)}
    if on.type == "cuda":
        properties = torch.cuda.get_device_properties(on)
        found |= {
            "gpu": properties.name,
            "memory_gib": properties.total_memory / 2**30,
            "capability": f"{properties.major}.{properties.minor}",
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return found


@torch.inference_mode()
def main() -> None:
    """Run all sections."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--quick", action="store_true", help="smallest sizes, as a test of the script")
    parser.add_argument("--limit-s", type=float, default=420.0, help="end each section with the row that passes this")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), metavar="SECTION")
    parser.add_argument("--out", type=Path, default=Path("out/gpu.json"))
    options = parser.parse_args()
    console, began_s = Console(width=160), time.monotonic()
    device.make_deterministic()
    plan = Plan(device.choose(options.device), options.quick)
    results: dict[str, Any] = facts(plan.device)
    console.print(results)
    left_out = []
    for name in options.only:
        results[name] = rows = []
        for row in SECTIONS[name](plan):
            rows.append(row)
            if time.monotonic() - began_s > options.limit_s:
                left_out.append(name)
                break
        report.print_section(console, name, rows)
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"seconds={time.monotonic() - began_s:.0f} cut_short={','.join(left_out) or 'none'} out={options.out}")


if __name__ == "__main__":
    with exit_if_unread():
        main()
