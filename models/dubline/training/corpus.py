"""Reads talking-head clips (`NAME.mp4` beside `NAME.npz`) into memory, frames and speech decoded once.

Labels are optional: footage of people has none, rendered heads have exact ones.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
import torch
from einops import rearrange
from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

SAMPLE_RATE_HZ: Final = 16_000
#: The readings of `Clip.geometry` that people look at: blink; lips shut, lip gap.
LIDS: Final = slice(-3, -2)
LIPS: Final = slice(-2, None)
#: Decoding leaves Python's lock alone, so threads help; more than two do not pay on small machines.
READERS: Final = 2
#: What a file that is broken, or still being written, raises.
UNREADABLE: Final = (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile, av.FFmpegError)
#: Clips decoded ahead of whoever takes them: enough to keep the readers busy, too few to fill memory.
AHEAD: Final = 4


@dataclass(frozen=True)
class Clip:
    """One clip of one person.

    frames: (T, S, S, 3) uint8. speech: (N,) float32 in [-1, 1] at 16 kHz, of any `every`; empty without sound.
    landmarks: (T, 68, 2) in [-1, 1]. geometry: (T, G) float32, what the rig did: expression, head rotation and
    translation, gaze, blink, lips. aperture_mm: (T,) float32, the inner-lip gap, at most 0 when shut.
    The last three are None for footage that nobody labelled.
    """

    name: str
    kind: str
    heldout: bool
    frames: NDArray[np.uint8]
    speech: NDArray[np.float32]
    landmarks: NDArray[np.float32] | None
    geometry: NDArray[np.float32] | None
    aperture_mm: NDArray[np.float32] | None

    @property
    def labelled(self) -> bool:
        """Whether the three label tracks are there."""
        return self.geometry is not None


def _decode(path: Path, size_px: int, every: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], int]:
    """The kept frames, the speech, and how many frames there are in all."""
    kept, samples, total = [], [np.zeros(0, np.float32)], 0
    with av.open(str(path)) as container:
        # One thread a clip: the readers already share the cores, and slices of a small picture do not pay.
        container.streams.video[0].thread_count = 1
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                if total % every == 0:
                    kept.append(frame.reformat(size_px, size_px, "rgb24", interpolation="AREA").to_ndarray())
                total += 1
            elif isinstance(frame, av.AudioFrame):
                samples += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        if len(samples) > 1:
            samples += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.stack(kept), np.concatenate(samples), total


def read_speech(path: Path, seconds: float = math.inf) -> NDArray[np.float32]:
    """The sound of a file, or its first seconds: (N,) in [-1, 1] at 16 kHz.

    Raises:
        OSError, ValueError, IndexError: some of UNREADABLE; there is no sound that can be decoded.
    """
    wanted = seconds * SAMPLE_RATE_HZ
    parts: list[NDArray[np.float32]] = []
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
        for frame in container.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            if sum(map(len, parts)) >= wanted:
                break
        parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    whole = np.concatenate(parts)
    return whole[: round(min(wanted, len(whole)))].astype(np.float32)


def read_clip(path: Path, size_px: int, every: int = 1) -> Clip:
    """Decode one mp4 and the tracks in the npz beside it.

    Args:
        path: the mp4.
        size_px: side of the frames that are kept.
        every: keep every n-th frame, from the first, and its labels; the speech stays whole.
    """
    frames, speech, count = _decode(path, size_px, every)
    # The file is ours to close: numpy leaves one open that turns out to be broken.
    with path.with_suffix(".npz").open("rb") as file, np.load(file) as tracks:
        meta = json.loads(str(tracks["meta"]))
        labels: tuple[NDArray[np.float32] | None, ...] = (None, None, None)
        if "landmarks" in tracks:
            count = min(count, len(tracks["landmarks"]))
            labels = _labels(tracks, float(meta.get("size", 256)), slice(0, count, every))
    return Clip(
        path.stem,
        meta["kind"],
        meta["split"] == "heldout",
        frames[: math.ceil(count / every)],
        speech.astype(np.float32, copy=False),
        *labels,
    )


def _labels(tracks: Any, side: float, kept: slice) -> tuple[NDArray[np.float32], ...]:
    columns = [tracks[key] for key in ("expression", "rotation", "translation", "gaze")]
    columns += [tracks[key][:, None] for key in ("blink", "lip_shut")]
    columns += [tracks["aperture_mm"][:, None] / 10]
    # Continuous pixels: 0 is the left edge of the first one.
    landmarks = tracks["landmarks"].astype(np.float32)[kept] * 2 / side - 1
    geometry = np.concatenate(columns, axis=1).astype(np.float32)[kept]
    return landmarks, geometry, tracks["aperture_mm"].astype(np.float32)[kept]


def read_corpus(folders: Path | Sequence[Path], size_px: int, *, heldout: bool, every: int = 1) -> list[Clip]:
    """Every training (or held-out) clip of one or several folders, in the folders' and then in name order.

    A clip of 4 s at 256 px takes 20 MB; `every` divides that.

    Args:
        folders: where NAME.mp4 and NAME.npz lie.
        size_px: side of the frames that are kept.
        heldout: which split.
        every: keep every n-th frame only.

    Raises:
        FileNotFoundError: the folders hold no clip of that split.
    """
    return list(_read([folders] if isinstance(folders, Path) else folders, size_px, heldout, every))


def stream_corpus(folders: Sequence[Path], size_px: int, *, heldout: bool) -> Iterator[Clip]:
    """The clips that `read_corpus` reads, one at a time: no more than a few are in memory.

    Raises:
        FileNotFoundError: the folders hold no clip of that split.
    """
    yield from _read(folders, size_px, heldout, 1)


def find_clips(folders: Sequence[Path], *, heldout: bool) -> list[Path]:
    """The mp4 files of one split.

    Raises:
        FileNotFoundError: there are none.
    """
    paths = [path for folder in folders for path in sorted(folder.glob("*.mp4")) if path.with_suffix(".npz").exists()]
    chosen = []
    for path in paths:
        try:
            if is_heldout(path) == heldout:
                chosen.append(path)
        except UNREADABLE as error:
            leave_out(path, error)
    if not chosen:
        split = "held-out" if heldout else "training"
        raise FileNotFoundError(f"no {split} clips (NAME.mp4 + NAME.npz) in {', '.join(map(str, folders))}")
    return chosen


def is_heldout(path: Path) -> bool:
    """Whether a clip's person, voice and sentence are kept for evaluation."""
    with path.with_suffix(".npz").open("rb") as file, np.load(file) as tracks:
        heldout: bool = json.loads(str(tracks["meta"]))["split"] == "heldout"
    return heldout


def leave_out(path: Path, error: Exception) -> None:
    """Say that a file was not used, and why."""
    Console(stderr=True).print(f"left out {path}: {error!r}", markup=False, soft_wrap=True)


def _read(folders: Sequence[Path], size_px: int, heldout: bool, every: int) -> Iterator[Clip]:
    paths = find_clips(folders, heldout=heldout)
    for path, clip in track(_ahead(paths, size_px, every), "reading clips", total=len(paths)):
        try:
            yield clip.result()
        except UNREADABLE as error:
            # A clip that a renderer is still writing must not cost the run.
            leave_out(path, error)


def _ahead(paths: Sequence[Path], size_px: int, every: int) -> Iterator[tuple[Path, Future[Clip]]]:
    waiting: deque[tuple[Path, Future[Clip]]] = deque()
    with ThreadPoolExecutor(READERS) as pool:
        try:
            for path in paths:
                waiting.append((path, pool.submit(read_clip, path, size_px, every)))
                if len(waiting) > AHEAD:
                    yield waiting.popleft()
            yield from waiting
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def to_frames(pixels: NDArray[np.uint8], device: torch.device) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32 in [-1, 1] on a device."""
    # A copy: pixels may be read-only views, which torch warns of.
    return rearrange(torch.tensor(pixels, device=device), "b h w c -> b c h w").float() / 127.5 - 1
