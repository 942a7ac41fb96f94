"""An hour of speech through sampling and rendering: memory, seams, drift: `python benchmarks/long_speech.py`.

Uses the worker's own two stages, without the video encoder. Without `--speech` the speech is babble made from noise:
syllables, pauses, changing pitch and loudness, never twice the same. A `--speech` file is repeated until it is long
enough. The last line has all figures.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from dubline.framing import crop, face
from dubline.models.sampling import FADE_FRAMES
from dubline.worker.media import audio, frame, image
from dubline.worker.media.container import identify
from dubline.worker.rendering import device
from dubline.worker.rendering.model_cache import ModelCache
from dubline.worker.rendering.motion import PreparedSource, frame_count, segments

DEMO: Final = Path(__file__).parents[1] / "demo"
TENTHS: Final = 10
CHECKED_SEGMENTS: Final = 5
HARMONICS: Final = 24

Samples = Iterator[NDArray[np.float32]]


def babble(seconds: int, rate_hz: int, seed: int) -> Callable[[], Samples]:
    """Speech-like noise, one second at a time: each is a function of the seed and its number alone."""
    time_s = np.arange(rate_hz) / rate_hz
    harmonic = np.arange(1, HARMONICS + 1)[:, None]

    def second(index: int) -> NDArray[np.float32]:
        random = np.random.default_rng((seed, index))
        # Four or five syllables a second, some of them and one second in six silent; each opens and closes.
        syllables = int(random.integers(4, 6))
        phase = time_s * syllables % 1
        spoken = (random.random(syllables) > 1 / 6) * random.uniform(0.3, 1, syllables) * (random.random() > 1 / 6)
        number = (time_s * syllables).astype(int)
        envelope = np.sin(np.pi * phase) ** 1.5 * spoken[number]
        pitch_hz = random.uniform(90, 220) * (1 + 0.05 * np.sin(2 * np.pi * 2 * time_s))
        formant_hz = random.uniform([300, 900], [900, 2500], (syllables, 2))[number]
        waves = np.sin(2 * np.pi * np.cumsum(pitch_hz) / rate_hz * harmonic)
        gains = sum(np.exp(-(((pitch_hz * harmonic - formant_hz[:, i]) / 150) ** 2)) for i in range(2))
        voice = (waves * gains).sum(0) / 3 + 0.05 * random.normal(size=rate_hz)
        return (0.3 * envelope * voice).astype(np.float32)

    return lambda: (second(index) for index in range(seconds))


def repeated(path: Path, seconds: int, rate_hz: int) -> Callable[[], Samples]:
    """A recording, decoded again and again until it has lasted long enough."""
    container = identify(path)

    def samples() -> Samples:
        left = seconds * rate_hz
        for _ in count():
            for part in audio.samples(path, container, rate_hz):
                yield part[:left]
                left -= len(part)
                if left <= 0:
                    return

    return samples


def memory_mb() -> tuple[float, float, float]:
    """What this process holds, in MiB: its own memory, files mapped into it (the kernel may drop them), its peak."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own, mapped, peak = (int(status[key].split()[0]) / 1024 for key in ("RssAnon", "RssFile", "VmHWM"))
    return own, mapped + int(status["RssShmem"].split()[0]) / 1024, peak


class MemoryLog:
    """Notes the process's memory as each tenth of a stage is done."""

    def __init__(self, stage: str) -> None:
        self.stage, self.own_mb, self.started = stage, [memory_mb()[0]], time.perf_counter()

    def note(self, share: float) -> None:
        """Called as often as one likes with the share done, 0 to 1."""
        if share * TENTHS >= len(self.own_mb):
            own, mapped, peak = memory_mb()
            self.own_mb.append(own)
            seconds = time.perf_counter() - self.started
            print(
                f"{self.stage} {share:4.0%} {seconds:7.0f} s  {own:6.1f} MB own {mapped:6.1f} mapped {peak:6.1f} peak"
            )
            sys.stdout.flush()

    @property
    def growth_mb(self) -> float:
        """From the end of the first tenth, when everything is warm, to the highest after it."""
        return max(self.own_mb[1:]) - self.own_mb[1]


def exceedance(borders: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """How likely a border's difference exceeds another frame's: the Mann-Whitney statistic; .5 = no seam."""
    others = np.sort(others)
    below = np.searchsorted(others, borders, side="left") + np.searchsorted(others, borders, side="right")
    return float(below.mean() / 2 / len(others))


def compare(name: str, differences: NDArray[np.float64], borders: list[int]) -> dict[str, float]:
    """Difference to the frame before, (frames,): those that begin a window, those while it fades in, all others.

    Gives the ratio of medians of both and of the borders' 95th percentiles, and the exceedance; frames that are not
    known are NaN.
    """
    number, first = np.arange(len(differences)), np.array(borders)
    border = np.isin(number, first)
    fade = np.isin(number, first[:, None] + np.arange(1, FADE_FRAMES)) & ~border
    at, fading, off = (
        part[np.isfinite(part)] for part in (differences[border], differences[fade], differences[~border & ~fade])
    )
    result = {
        f"{name}_seam_ratio": float(np.median(at) / np.median(off)),
        f"{name}_fade_ratio": float(np.median(fading) / np.median(off)),
        f"{name}_seam_p95_ratio": float(np.quantile(at, 0.95) / np.quantile(off, 0.95)),
        f"{name}_exceedance": exceedance(at, off),
    }
    print(f"{name:14} {len(at):6} borders, {len(off):7} others: " + figures(result))
    return result


def figures(values: dict[str, float]) -> str:
    """One line."""
    return " ".join(f"{key}={value:.3f}" if value % 1 else f"{key}={value:.0f}" for key, value in values.items())


def latent_figures(path: Path, borders: list[int]) -> dict[str, float]:
    """Seam and drift of the stored motion."""
    motion = np.load(path).astype(np.float64)
    steps = np.diff(motion, axis=0)
    step = np.linalg.norm(steps, axis=1, keepdims=True)
    bend = np.linalg.norm(np.diff(steps, axis=0), axis=1, keepdims=True)
    result = compare("latent_step", np.append(np.nan, step), borders)
    result |= compare("latent_bend", np.append([np.nan, np.nan], bend), borders)
    tenths = np.array_split(motion, TENTHS)
    spread = [float(tenth.std(0).mean()) for tenth in tenths]
    moved = np.abs(tenths[-1].mean(0) - tenths[0].mean(0)) / motion.std(0)
    print("latent spread by tenth:", " ".join(f"{value:.3f}" for value in spread))
    return result | {"drift_spread": spread[-1] / spread[0], "drift_mean_sd": float(moved.mean())}


class FrameLog:
    """Differences between neighbouring rendered frames in 8-bit steps, each frame's sharpness, segments' hashes."""

    def __init__(self, frames: int) -> None:
        self.difference = np.full(frames, np.nan)
        self.sharpness = np.full(frames, np.nan)
        self.hashes: dict[range, str] = {}
        self._last: tuple[int, torch.Tensor] | None = None

    def render(self, prepared: PreparedSource, motion: Path, span: range) -> str:
        """Render one segment, keep its figures; returns the hash of its pixels."""
        digest, number = hashlib.sha256(), span.start
        for batch in prepared.render(motion, span, prepared.networks.preset.render_batch):
            digest.update(batch.numpy().tobytes())
            grey = 127.5 * batch.mean(1)
            stop = number + len(batch)
            if self._last is not None and self._last[0] == number - 1:
                self.difference[number] = (grey[0] - self._last[1]).abs().mean()
            self.difference[number + 1 : stop] = grey.diff(dim=0).abs().mean((1, 2)).numpy()
            bend = grey.diff(n=2, dim=1)[:, :, 1:-1].abs() + grey.diff(n=2, dim=2)[:, 1:-1].abs()
            self.sharpness[number:stop] = bend.mean((1, 2)).numpy()
            self._last, number = (stop - 1, grey[-1].clone()), stop
        return digest.hexdigest()

    def drift(self) -> float:
        """Sharpness of the last tenth over that of the first."""
        tenths = [float(np.nanmean(tenth)) for tenth in np.array_split(self.sharpness, TENTHS)]
        print("sharpness by tenth:", " ".join(f"{value:.3f}" for value in tenths))
        return tenths[-1] / tenths[0]


def source_crop(path: Path, side_px: int) -> NDArray[np.uint8]:
    """The face of a portrait as the worker cuts it, then of a side that keeps an hour affordable."""
    picture = image.load(path, 50_000_000)
    found = face.find(picture)
    if found is None:
        raise SystemExit(f"there is no face in {path}")
    square = crop.around(found.scaled(frame.scale(*picture.size)))
    cut = Image.fromarray(crop.cut(frame.still(picture), square))
    return np.array(cut.resize((side_px, side_px), Image.Resampling.LANCZOS))


def render_all(prepared: PreparedSource, motion: Path, frames: int, every: int) -> tuple[FrameLog, dict[str, float]]:
    """Render every n-th segment and the last, then some again by a new PreparedSource."""
    spans = segments(frames, prepared.networks.preset.render_batch)
    spans = [span for index, span in enumerate(spans) if index % every == 0 or span is spans[-1]]
    log, memory = FrameLog(frames), MemoryLog("rendering")
    for done, span in enumerate(spans, 1):
        log.hashes[span] = log.render(prepared, motion, span)
        memory.note(done / len(spans))
    rendered = sum(map(len, spans))
    seconds = time.perf_counter() - memory.started
    chosen = np.random.default_rng(0).choice(len(spans), min(CHECKED_SEGMENTS, len(spans)), replace=False)
    again = [FrameLog(frames).render(prepared, motion, spans[i]) == log.hashes[spans[i]] for i in chosen]
    result = {"frames_rendered": rendered, "rendering_s_per_s": seconds * prepared.networks.preset.fps / rendered}
    return log, result | {"growth_rendering_mb": memory.growth_mb, "ranges_equal": sum(again), "ranges": len(again)}


@torch.inference_mode()
def main(args: argparse.Namespace) -> None:
    """Sample, render, compare, print."""
    device.make_deterministic()
    torch.set_num_threads(args.threads)
    networks = ModelCache(torch.device("cpu")).get(args.preset)
    preset = networks.preset
    seconds = round(args.minutes * 60)
    rate_hz = preset.sample_rate_hz
    listen = repeated(args.speech, seconds, rate_hz) if args.speech else babble(seconds, rate_hz, args.seed)
    frames = frame_count(seconds, preset.fps)
    prepared = PreparedSource.from_crop(networks, source_crop(args.portrait, args.side_px), torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        motion, memory = Path(folder) / "motion.npy", MemoryLog("sampling")
        borders = []
        for done in prepared.store_motion(listen, frames, args.seed, motion):
            borders.append(done)
            memory.note(done / frames)
        sampling_s = time.perf_counter() - memory.started
        log, result = render_all(prepared, motion, frames, args.render_every)
        peak_mb = memory_mb()[2]
        result |= latent_figures(motion, borders)
    result |= compare("frame", log.difference, borders) | {"drift_sharpness": log.drift()}
    first = {"minutes": args.minutes, "frames": frames, "sampling_s_per_s": sampling_s / seconds, "peak_mb": peak_mb}
    print(figures(first | {"growth_sampling_mb": memory.growth_mb} | result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--speech", type=Path, help="a recording to repeat; else babble")
    parser.add_argument("--portrait", type=Path, default=DEMO / "portraits/ada.jpg")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--side-px", type=int, default=128, help="side of the crop that is rendered")
    parser.add_argument("--render-every", type=int, default=1, help="render only every n-th segment of 4.8 s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
