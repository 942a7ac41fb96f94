"""Reads labelled talking-head clips (`NAME.mp4` beside `NAME.npz`) into memory, frames and speech decoded once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np
from rich.progress import track

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
# The readings of `Clip.geometry` that people look at: lips shut, lip gap.
LIPS = slice(-2, None)


@dataclass(frozen=True)
class Clip:
    """One clip of one person.

    frames: (T, S, S, 3) uint8. speech: (N,) float32 in [-1, 1] at 16 kHz. landmarks: (T, 68, 2) in [-1, 1].
    geometry: (T, G) float32, what the rig did: expression, head rotation and translation, gaze, blink, lips.
    aperture_mm: (T,) float32, the inner-lip gap, at most 0 when shut.
    """

    name: str
    kind: str
    heldout: bool
    frames: NDArray[np.uint8]
    speech: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    geometry: NDArray[np.float32]
    aperture_mm: NDArray[np.float32]


def _decode(path: Path, size_px: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    with av.open(str(path)) as container:
        frames, samples = [], []
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE_HZ)
        for frame in container.decode():
            if isinstance(frame, av.VideoFrame):
                scaled = frame.reformat(size_px, size_px, "rgb24", interpolation="AREA")
                frames.append(scaled.to_ndarray())
            else:
                samples += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        samples += [part.to_ndarray()[0] for part in resampler.resample(None)]
    return np.stack(frames), np.concatenate(samples)


def read_clip(path: Path, size_px: int) -> Clip:
    """Decode one mp4 and the tracks in the npz beside it."""
    frames, speech = _decode(path, size_px)
    tracks = np.load(path.with_suffix(".npz"))
    meta = json.loads(str(tracks["meta"]))
    side = float(meta.get("size", 256))
    columns = [tracks[key] for key in ("expression", "rotation", "translation", "gaze")]
    columns += [tracks[key][:, None] for key in ("blink", "lip_shut")]
    columns += [tracks["aperture_mm"][:, None] / 10]
    count = min(len(frames), len(tracks["blink"]))
    return Clip(
        name=path.stem,
        kind=meta["kind"],
        heldout=meta["split"] == "heldout",
        frames=frames[:count],
        speech=speech.astype(np.float32),
        landmarks=(tracks["landmarks"].astype(np.float32)[:count] * 2 + 1) / side - 1,
        geometry=np.concatenate(columns, axis=1).astype(np.float32)[:count],
        aperture_mm=tracks["aperture_mm"].astype(np.float32)[:count],
    )


def read_corpus(folder: Path, size_px: int, *, heldout: bool) -> list[Clip]:
    """Every training (or held-out) clip below a folder, in name order.

    Raises:
        FileNotFoundError: the folder holds no clip of that split.
    """
    paths = sorted(path for path in folder.glob("*.mp4") if path.with_suffix(".npz").exists())
    chosen = [path for path in paths if is_heldout(path) == heldout]
    if not chosen:
        raise FileNotFoundError(f"no {'held-out' if heldout else 'training'} clips (NAME.mp4 + NAME.npz) in {folder}")
    with ThreadPoolExecutor(2) as pool:
        reading = pool.map(lambda path: read_clip(path, size_px), chosen)
        return list(track(reading, "reading clips", total=len(chosen)))


def is_heldout(path: Path) -> bool:
    """Whether a clip's person, voice and sentence are kept for evaluation."""
    meta = json.loads(str(np.load(path.with_suffix(".npz"))["meta"]))
    heldout: bool = meta["split"] == "heldout"
    return heldout
