"""Portraits and speech of the measured jobs, made of the demo's files."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Final

import av
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

DEMO: Final = Path(__file__).parents[2] / "demo"
RATE_HZ: Final = 16_000
#: The face of the demo's first portrait, px. Given, because its detection is not measured.
ADA: Final = (105.0, 175.0, 422.0, 492.0)
#: Width of the face in the close-up, px, and the size of the picture.
CLOSE_UP_FACE_PX: Final = 882
WIDTH_PX: Final = 1080
HEIGHT_PX: Final = 1920


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A portrait with a known face."""

    path: Path
    width_px: int
    height_px: int
    face: tuple[float, float, float, float]
    """Left, top, right and bottom, px."""


def portrait() -> Picture:
    """Return the demo's first portrait, 512 x 512."""
    return Picture(path=DEMO / "portraits/ada.jpg", width_px=512, height_px=512, face=ADA)


def close_up(folder: Path) -> Picture:
    """Write the portrait enlarged to a close-up of 1080 x 1920, whose crop has a side of 1,648 px."""
    path = folder / "close-up.png"
    left, top, right, bottom = ADA
    factor = CLOSE_UP_FACE_PX / (right - left)
    shift_x, shift_y = round(factor * (left + right) / 2 - WIDTH_PX / 2), 0
    with Image.open(DEMO / "portraits/ada.jpg") as opened:
        side = round(factor * opened.width)
        enlarged = np.asarray(opened.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))
    shift_y = HEIGHT_PX - side
    cut = enlarged[:, shift_x : shift_x + WIDTH_PX]
    Image.fromarray(np.pad(cut, ((shift_y, 0), (0, 0), (0, 0)), mode="edge")).save(path)
    face = (factor * left - shift_x, factor * top + shift_y, factor * right - shift_x, factor * bottom + shift_y)
    return Picture(path=path, width_px=WIDTH_PX, height_px=HEIGHT_PX, face=face)


def speech(folder: Path, seconds: float) -> Path:
    """Write the demo's English recording, repeated to a length, as WAV."""
    path = folder / f"speech-{seconds:g}.wav"
    left = round(seconds * RATE_HZ)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for part in chain.from_iterable(map(_decoded, repeat(DEMO / "speech/english.mp3"))):
            file.writeframes(part[:left].tobytes())
            left -= len(part)
            if left <= 0:
                return path
    raise RuntimeError("the recording is empty")


def _decoded(path: Path) -> Iterator[NDArray[np.int16]]:
    resampler = av.AudioResampler("s16", "mono", RATE_HZ)
    with av.open(str(path)) as container:
        for frame in chain(container.decode(audio=0), (None,)):
            for part in resampler.resample(frame):
                yield part.to_ndarray()[0]
