"""Long speech through sampling and rendering: memory, window boundaries, drift: `python -m benchmarks.long_speech`.

Runs the two stages of the worker without the video encoder. Without `--speech` the speech is synthetic babble:
syllables, pauses, changing pitch and loudness, without repetition. A `--speech` file is repeated until it is long
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
from benchmarks.machine import memory_mb
from numpy.typing import NDArray
from PIL import Image

from dubline.framing import crop, face
from dubline.models.sampling import FADE_FRAMES
from dubline.models.weights import load_networks
from dubline.options.output import exit_if_unread
from dubline.orchestration.domain.video_size import scale
from dubline.worker.media import audio, frame, image
from dubline.worker.media.container import identify
from dubline.worker.rendering import device
from dubline.worker.rendering.full_size.compositor import Compositor
from dubline.worker.rendering.motion import PreparedSource, batches, frame_count, segments

DEMO: Final = Path(__file__).parents[1] / "demo"
TENTHS: Final = 10
#: Segments that are rendered a second time and compared.
CHECKED_SEGMENTS: Final = 5
HARMONICS: Final = 24

Samples = Iterator[NDArray[np.float32]]


def babble(seconds: int, rate_hz: int, seed: int) -> Callable[[], Samples]:
    """Return speech-like noise in chunks of one second; each chunk depends on the seed and its index alone."""
    time_s = np.arange(rate_hz) / rate_hz
    harmonic = np.arange(1, HARMONICS + 1)[:, None]

    def second(index: int) -> NDArray[np.float32]:
        random = np.random.default_rng((seed, index))
        # Four or five syllables per second, each with an onset and a decay. One syllable in six and one second in
        # six are silent.
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
        chunk: NDArray[np.float32] = (0.3 * envelope * voice).astype(np.float32)
        return chunk

    return lambda: (second(index) for index in range(seconds))


def repeated(path: Path, seconds: int, rate_hz: int) -> Callable[[], Samples]:
    """Return a recording that is decoded repeatedly up to a length in seconds."""

    def samples() -> Samples:
        left = seconds * rate_hz
        with path.open("rb") as file:
            container = identify(file)
            for _ in count():
                for chunk in audio.samples(file, container, rate_hz):
                    yield chunk[:left]
                    left -= len(chunk)
                    if left <= 0:
                        return

    return samples


def used_mb() -> tuple[float, float, float]:
    """Return the memory of this process in MiB: private, mapped files (which the kernel may drop), peak of both."""
    own, mapped, shared, peak = memory_mb("self", "RssAnon", "RssFile", "RssShmem", "VmHWM")
    return own, mapped + shared, peak


class MemoryLog:
    """Records and prints the memory of the process after each tenth of a stage."""

    def __init__(self, stage: str) -> None:
        self.stage, self.own_mb, self.started = stage, [used_mb()[0]], time.perf_counter()

    def update(self, share: float) -> None:
        """Record the memory if another tenth is done.

        Args:
            share: finished share of the stage, 0 to 1.
        """
        if share * TENTHS >= len(self.own_mb):
            own, mapped, peak = used_mb()
            self.own_mb.append(own)
            seconds = time.perf_counter() - self.started
            print(
                f"{self.stage} {share:4.0%} {seconds:7.0f} s  {own:6.1f} MB own {mapped:6.1f} mapped {peak:6.1f} peak"
            )
            sys.stdout.flush()

    @property
    def growth_mb(self) -> float:
        """Growth from the end of the first tenth, when everything is loaded, to the later maximum."""
        return max(self.own_mb[1:]) - self.own_mb[1]


def exceedance(boundaries: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Return the probability that a difference at a boundary exceeds one elsewhere (Mann-Whitney); .5 means no seam."""
    others = np.sort(others)
    below = np.searchsorted(others, boundaries, side="left") + np.searchsorted(others, boundaries, side="right")
    return float(below.mean() / 2 / len(others))


def compare(name: str, differences: NDArray[np.float64], boundaries: list[int]) -> dict[str, float]:
    """Compare the change between frames at window boundaries, in fades and elsewhere.

    Args:
        name: prefix of the figures.
        differences: difference of each frame to the one before, (frames,); NaN where it is unknown.
        boundaries: first frames of windows.

    Returns:
        Ratios to the other frames: medians at boundaries and in the fades after them, 95th percentiles at boundaries;
        and the exceedance.
    """
    number, first = np.arange(len(differences)), np.array(boundaries)
    boundary = np.isin(number, first)
    fade = np.isin(number, first[:, None] + np.arange(1, FADE_FRAMES)) & ~boundary
    at, fading, off = (
        part[np.isfinite(part)] for part in (differences[boundary], differences[fade], differences[~boundary & ~fade])
    )
    result = {
        f"{name}_seam_ratio": float(np.median(at) / np.median(off)),
        f"{name}_fade_ratio": float(np.median(fading) / np.median(off)),
        f"{name}_seam_p95_ratio": float(np.quantile(at, 0.95) / np.quantile(off, 0.95)),
        f"{name}_exceedance": exceedance(at, off),
    }
    print(f"{name:14} {len(at):6} boundaries, {len(off):7} others: " + figures(result))
    return result


def figures(values: dict[str, float]) -> str:
    """Format figures as one line of `key=value`."""
    return " ".join(f"{key}={value:.3f}" if value % 1 else f"{key}={value:.0f}" for key, value in values.items())


def latent_figures(path: Path, boundaries: list[int]) -> dict[str, float]:
    """Return the figures of window boundaries and of drift of the stored motion, (frames, features)."""
    motion = np.load(path).astype(np.float64)
    steps = np.diff(motion, axis=0)
    step = np.linalg.norm(steps, axis=1, keepdims=True)
    second = np.linalg.norm(np.diff(steps, axis=0), axis=1, keepdims=True)
    result = compare("latent_step", np.append(np.nan, step), boundaries)
    result |= compare("latent_bend", np.append([np.nan, np.nan], second), boundaries)
    tenths = np.array_split(motion, TENTHS)
    spread = [float(tenth.std(0).mean()) for tenth in tenths]
    moved = np.abs(tenths[-1].mean(0) - tenths[0].mean(0)) / motion.std(0)
    print("latent spread by tenth:", " ".join(f"{value:.3f}" for value in spread))
    return result | {"drift_spread": spread[-1] / spread[0], "drift_mean_sd": float(moved.mean())}


class FrameLog:
    """Figures of rendered frames.

    Attributes:
        difference: mean difference of each frame to the one before, in 8-bit steps, (frames,); NaN if not rendered.
        sharpness: mean absolute second difference of each frame, in 8-bit steps, (frames,); NaN if not rendered.
        hashes: SHA-256 of the pixels of each segment.
    """

    def __init__(self, frames: int) -> None:
        self.difference = np.full(frames, np.nan)
        self.sharpness = np.full(frames, np.nan)
        self.hashes: dict[range, str] = {}
        self._last: tuple[int, torch.Tensor] | None = None

    def render(self, prepared: PreparedSource, compositor: Compositor, motion: Path, span: range) -> str:
        """Render one segment and record its figures; return the hash of its pixels."""
        digest, number = hashlib.sha256(), span.start
        for frames in batches(span, prepared.networks.preset.render_batch):
            crops = compositor.enlarge(prepared.fields(motion, frames))
            whole = np.stack([one.copy() for one in compositor.frames([crops])])
            digest.update(whole.tobytes())
            grey = torch.from_numpy(whole[:, : compositor.size[1]]).float()
            stop = number + len(grey)
            if self._last is not None and self._last[0] == number - 1:
                self.difference[number] = (grey[0] - self._last[1]).abs().mean()
            self.difference[number + 1 : stop] = grey.diff(dim=0).abs().mean((1, 2)).numpy()
            second = grey.diff(n=2, dim=1)[:, :, 1:-1].abs() + grey.diff(n=2, dim=2)[:, 1:-1].abs()
            self.sharpness[number:stop] = second.mean((1, 2)).numpy()
            self._last, number = (stop - 1, grey[-1].clone()), stop
        return digest.hexdigest()

    def drift(self) -> float:
        """Return the sharpness of the last tenth over that of the first."""
        tenths = [float(np.nanmean(tenth)) for tenth in np.array_split(self.sharpness, TENTHS)]
        print("sharpness by tenth:", " ".join(f"{value:.3f}" for value in tenths))
        return tenths[-1] / tenths[0]


def source_crop(path: Path, side_px: int) -> NDArray[np.uint8]:
    """Return the face crop of the worker, resized to a side at which an hour can be rendered."""
    with path.open("rb") as file:
        picture = image.load(file, 64_000_000).picture
    found = face.find(picture)
    if found is None:
        raise SystemExit(f"no face found in {path}")
    square = crop.around(found.scaled(scale(*picture.size)))
    cut = Image.fromarray(crop.cut(frame.still(picture), square))
    return np.array(cut.resize((side_px, side_px), Image.Resampling.LANCZOS))


def render_all(
    prepared: PreparedSource, compositor: Compositor, motion: Path, frames: int, every: int
) -> tuple[FrameLog, dict[str, float]]:
    """Render every n-th segment and the last one, then render some of them again and compare the bits."""
    spans = segments(frames, prepared.networks.preset.render_batch)
    spans = [span for index, span in enumerate(spans) if index % every == 0 or span is spans[-1]]
    log, memory = FrameLog(frames), MemoryLog("rendering")
    for done, span in enumerate(spans, 1):
        log.hashes[span] = log.render(prepared, compositor, motion, span)
        memory.update(done / len(spans))
    rendered = sum(map(len, spans))
    seconds = time.perf_counter() - memory.started
    chosen = np.random.default_rng(0).choice(len(spans), min(CHECKED_SEGMENTS, len(spans)), replace=False)
    again = [FrameLog(frames).render(prepared, compositor, motion, spans[i]) == log.hashes[spans[i]] for i in chosen]
    result = {"frames_rendered": rendered, "rendering_s_per_s": seconds * prepared.networks.preset.fps / rendered}
    return log, result | {"growth_rendering_mb": memory.growth_mb, "ranges_equal": sum(again), "ranges": len(again)}


@torch.inference_mode()
def main(args: argparse.Namespace) -> None:
    """Run the benchmark and print the figures."""
    device.make_deterministic()
    torch.set_num_threads(args.threads)
    networks = load_networks(args.preset, torch.device("cpu"))
    preset = networks.preset
    seconds = round(args.minutes * 60)
    rate_hz = preset.sample_rate_hz
    samples = repeated(args.speech, seconds, rate_hz) if args.speech else babble(seconds, rate_hz, args.seed)
    frames = frame_count(seconds, preset.fps)
    cpu, pixels = torch.device("cpu"), source_crop(args.portrait, args.side_px)
    prepared = PreparedSource.from_crop(networks, pixels, cpu)
    compositor = Compositor(pixels, crop.Square(0, 0, args.side_px), cpu)
    with tempfile.TemporaryDirectory() as folder:
        motion, memory = Path(folder) / "motion.npy", MemoryLog("sampling")
        boundaries = []
        for done in prepared.store_motion(samples, frames, args.seed, motion):
            boundaries.append(done)
            memory.update(done / frames)
        sampling_s = time.perf_counter() - memory.started
        log, result = render_all(prepared, compositor, motion, frames, args.render_every)
        peak_mb = used_mb()[2]
        result |= latent_figures(motion, boundaries)
    result |= compare("frame", log.difference, boundaries) | {"drift_sharpness": log.drift()}
    first = {"minutes": args.minutes, "frames": frames, "sampling_s_per_s": sampling_s / seconds, "peak_mb": peak_mb}
    print(figures(first | {"growth_sampling_mb": memory.growth_mb} | result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--speech", type=Path, help="recording to repeat (default: babble)")
    parser.add_argument("--portrait", type=Path, default=DEMO / "portraits/ada.jpg")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--side-px", type=int, default=128, help="side of the crop that is rendered")
    parser.add_argument("--render-every", type=int, default=1, help="render only every n-th segment of 4.8 s")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    with exit_if_unread():
        main(parser.parse_args())
