"""Expected mouth events of a recording: opening, closures, open vowels, silence, loudness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dubline.training.corpus import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from dubline.training.corpus import Clip

FPS: Final = 25
OPEN_VOWELS: Final = frozenset("aɑɐʌæ")  # noqa: RUF001 - IPA
#: Open vowels this close to a closure are not scored: in the corpus the lips are closed in 17 % of the open vowels, and
#: 97 % of those are this close.
VOWEL_MARGIN_FRAMES: Final = 1
#: Contact envelope above which a /p/, /b/ or /m/ sounds; the envelope is 1 there, up to half-precision rounding.
CONTACT: Final = 0.99
#: Silence is scored at this distance from speech only, because lips move before the sound starts and after it ends.
SILENCE_MARGIN_FRAMES: Final = 3
#: Without phonemes, frames are silent if their loudness is below this share of the recording's 95th percentile.
SILENT_SHARE: Final = 0.05
LOUD_PERCENTILE: Final = 95


@dataclass(frozen=True)
class Reference:
    """Expected mouth events of T frames of speech."""

    opening: NDArray[np.float64]
    """(T,), the true lip gap in mm, or the loudness if the gap is unknown."""
    loudness: NDArray[np.float64]
    """(T,), root mean square of the samples, smoothed over three frames."""
    closures: tuple[range, ...]
    """Frames of each /p b m/."""
    vowels: tuple[int, ...]
    """Middle frame of each open vowel away from closures."""
    silent: NDArray[np.bool_]
    """(T,)."""
    spoken: NDArray[np.bool_]
    """(T,); frames near the start or end of speech are neither silent nor spoken."""


def of_clip(clip: Clip, tracks: Mapping[str, Any]) -> Reference:
    """Build the reference of a clip from its tracks.

    Args:
        clip: with or without labels.
        tracks: of its npz: `bilabial` (T,), `phoneme` (P,), `phoneme_time` (P, 2) in s; needed for labelled clips.
    """
    count = len(clip.frames)
    if clip.aperture_mm is None:
        return of_recording(clip.speech, count)
    names = [str(name).strip("ˈˌː'-|~ ") for name in tracks["phoneme"]]
    times = [(float(start), float(end)) for start, end in tracks["phoneme_time"]]
    sounds = [
        (name, *when) for name, when in zip(names, times, strict=True) if name and not name.startswith(("_", "("))
    ]
    contact = np.asarray(tracks["bilabial"])[:count] > CONTACT
    free = eroded(~contact, VOWEL_MARGIN_FRAMES)
    middles = [round((start + end) / 2 * FPS) for name, start, end in sounds if name[0] in OPEN_VOWELS]
    spoken = np.zeros(count, bool)
    for _, start, end in sounds:
        spoken[max(0, round(start * FPS)) : max(0, round(end * FPS))] = True
    return Reference(
        opening=np.maximum(0, clip.aperture_mm.astype(np.float64)),
        loudness=loudness(clip.speech, count),
        closures=tuple(runs(contact)),
        vowels=tuple(middle for middle in middles if 0 <= middle < count and free[middle]),
        silent=eroded(~spoken, SILENCE_MARGIN_FRAMES),
        spoken=spoken,
    )


def of_recording(speech: NDArray[np.float32], count: int) -> Reference:
    """Build the reference of an unlabelled recording from its loudness."""
    level = loudness(speech, count)
    quiet = level <= SILENT_SHARE * np.percentile(level, LOUD_PERCENTILE)
    return Reference(level, level, (), (), eroded(quiet, SILENCE_MARGIN_FRAMES), ~quiet)


def loudness(speech: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Measure the loudness of `count` frames, smoothed over three frames: (count,)."""
    step = SAMPLE_RATE_HZ // FPS
    padded = np.pad(speech, (0, count * step))[: count * step]
    rms = np.sqrt((padded.reshape(count, step).astype(np.float64) ** 2).mean(1))
    # Not of mode "same": its length is at least that of the window.
    return np.convolve(rms, np.ones(3) / 3)[1 : count + 1]


def runs(flags: NDArray[np.bool_]) -> list[range]:
    """List the spans of consecutive true values of (T,)."""
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return [range(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def eroded(flags: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """Keep a true value only if all values within `margin` are true; positions outside the recording count as true."""
    padded = np.pad(flags, margin, constant_values=True)
    shifts = [padded[shift : shift + len(flags)] for shift in range(2 * margin + 1)]
    return np.asarray(np.all(shifts, axis=0))
