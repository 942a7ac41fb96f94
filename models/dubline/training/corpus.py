"""Reads talking-head clips (`NAME.mp4` beside `NAME.npz`) into memory; each file is decoded once.

Labels are optional: footage of people has none, rendered heads have exact labels.
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
from einops import rearrange
from rich.console import Console
from rich.progress import track

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch
    from numpy.typing import NDArray
    from torch import Tensor

SAMPLE_RATE_HZ: Final = 16_000
#: Columns of `Clip.geometry`: blink; closed lips and lip gap.
LIDS: Final = slice(-3, -2)
LIPS: Final = slice(-2, None)
#: Decoding releases Python's lock, so threads help; more than two do not on small machines.
READERS: Final = 2
#: Errors of a file that is corrupt or still being written.
UNREADABLE: Final = (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile, av.FFmpegError)
#: Clips decoded in advance: enough to keep the threads busy without filling the memory.
AHEAD: Final = 4


@dataclass(frozen=True)
class Clip:
    """One clip of one person. The label tracks are None for unlabelled footage."""

    name: str
    """File name without suffix."""
    kind: str
    """"speech", or "expression" for clips without speech."""
    heldout: bool
    frames: NDArray[np.uint8]
    """(T, S, S, 3); every n-th frame if the clip was thinned."""
    speech: NDArray[np.float32]
    """(N,) in [-1, 1] at 16 kHz, of all frames; empty without sound."""
    landmarks: NDArray[np.float32] | None
    """(T, 68, 2) in [-1, 1]; measured ones may be without the other tracks."""
    geometry: NDArray[np.float32] | None
    """(T, G), rig parameters of a rendered head: expression, head rotation and translation, gaze, blink, lips."""
    aperture_mm: NDArray[np.float32] | None
    """(T,), gap of the inner lips; at most 0 when closed."""
    person: str = ""
    """Who speaks in footage; empty if it is not known."""

    @property
    def labelled(self) -> bool:
        """Whether the clip has the parameters of a rig."""
        return self.geometry is not None


def _decode(path: Path, size_px: int, every: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], int]:
    """Decode the kept frames and the speech; also return the number of all frames."""
    kept, samples, total = [], [np.zeros(0, np.float32)], 0
    with av.open(str(path)) as container:
        # One thread per clip: clips are already read in parallel.
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
    """Decode the sound of a file, or its first seconds: (N,) in [-1, 1] at 16 kHz.

    Raises:
        OSError, ValueError, IndexError: one of UNREADABLE; the file has no sound that can be decoded.
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
    """Decode an mp4 and read the tracks of the npz beside it.

    Args:
        path: the mp4.
        size_px: side of the frames.
        every: keep every n-th frame and its labels, starting with the first; the speech stays whole.
    """
    frames, speech, count = _decode(path, size_px, every)
    # Opened here, because numpy leaves a corrupt file open.
    with path.with_suffix(".npz").open("rb") as file, np.load(file) as tracks:
        meta = json.loads(str(tracks["meta"]))
        landmarks: NDArray[np.float32] | None = None
        geometry: NDArray[np.float32] | None = None
        aperture_mm: NDArray[np.float32] | None = None
        if "landmarks" in tracks:
            count = min(count, len(tracks["landmarks"]))
            kept = slice(0, count, every)
            # Continuous pixel coordinates: 0 is the left edge of the first pixel.
            landmarks = tracks["landmarks"].astype(np.float32)[kept] * 2 / float(meta.get("size", 256)) - 1
            # Measured landmarks come without parameters of a rig.
            if "expression" in tracks:
                geometry, aperture_mm = _labels(tracks, kept)
    return Clip(
        path.stem,
        meta["kind"],
        meta["split"] == "heldout",
        frames[: math.ceil(count / every)],
        speech.astype(np.float32, copy=False),
        landmarks,
        geometry,
        aperture_mm,
        str(meta.get("person") or ""),
    )


def _labels(tracks: Any, kept: slice) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    columns = [tracks[key] for key in ("expression", "rotation", "translation", "gaze")]
    columns += [tracks[key][:, None] for key in ("blink", "lip_shut")]
    columns += [tracks["aperture_mm"][:, None] / 10]
    geometry = np.concatenate(columns, axis=1).astype(np.float32)[kept]
    return geometry, tracks["aperture_mm"].astype(np.float32)[kept]


def read_corpus(folders: Path | Sequence[Path], size_px: int, *, heldout: bool, every: int = 1) -> list[Clip]:
    """Read all training (or held-out) clips of one or several folders, in order of folder and name.

    A clip of 4 s at 256 px takes 20 MB, divided by `every`.

    Args:
        folders: of NAME.mp4 and NAME.npz.
        size_px: side of the frames.
        heldout: which split.
        every: keep every n-th frame only.

    Raises:
        FileNotFoundError: the folders have no clip of that split.
    """
    return list(_read([folders] if isinstance(folders, Path) else folders, size_px, heldout, every))


def stream_corpus(folders: Sequence[Path], size_px: int, *, heldout: bool) -> Iterator[Clip]:
    """Yield the clips that `read_corpus` reads, with only a few in memory at a time.

    Raises:
        FileNotFoundError: the folders have no clip of that split.
    """
    yield from _read(folders, size_px, heldout, 1)


def find_clips(folders: Sequence[Path], *, heldout: bool) -> list[Path]:
    """List the mp4 files of one split.

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
    """Return whether a clip is held out for evaluation."""
    with path.with_suffix(".npz").open("rb") as file, np.load(file) as tracks:
        heldout: bool = json.loads(str(tracks["meta"]))["split"] == "heldout"
    return heldout


def leave_out(path: Path, error: Exception) -> None:
    """Print that a file is left out, with the error."""
    Console(stderr=True).print(f"left out {path}: {error!r}", markup=False, soft_wrap=True)


def _read(folders: Sequence[Path], size_px: int, heldout: bool, every: int) -> Iterator[Clip]:
    paths = find_clips(folders, heldout=heldout)
    for path, clip in track(_ahead(paths, size_px, every), "reading clips", total=len(paths)):
        try:
            yield clip.result()
        except UNREADABLE as error:
            # A clip that is still being written must not end the run.
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
    """Convert (B, S, S, 3) uint8 to (B, 3, S, S) float32 in [-1, 1] on a device."""
    import torch  # noqa: PLC0415 - each process that decodes a video for the corpus would load it

    # A copy: torch warns about read-only arrays.
    return rearrange(torch.tensor(pixels, device=device), "b h w c -> b c h w").float() / 127.5 - 1
