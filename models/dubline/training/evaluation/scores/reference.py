"""What a recording asks of the lips: the true opening where it is known, closures, open vowels, silence, loudness."""

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
#: An open vowel this close to a closure may rightly have the lips shut. In the corpus 17 % of the open vowels have,
#: and of those 97 % lie this close.
VOWEL_MARGIN_FRAMES: Final = 1
#: A contact envelope of 1 means that a /p/, /b/ or /m/ sounds; half precision may miss it by a little.
CONTACT: Final = 0.99
#: Lips get ready before the sound and rest after it: silence is judged this far away from speech.
SILENCE_MARGIN_FRAMES: Final = 3
#: A recording without phonemes is silent where it is this much softer than its loud parts (its 95th percentile).
SILENT_SHARE: Final = 0.05
LOUD_PERCENTILE: Final = 95


@dataclass(frozen=True)
class Reference:
    """What T frames of speech ask of the lips.

    opening: (T,), the true lip gap in mm, or the loudness where nothing better is known.
    loudness: (T,), root mean square of the samples, smoothed over three frames.
    closures: the frames of every /p b m/. vowels: the middle frame of every open vowel away from closures.
    silent, spoken: (T,) bool; frames near the borders are neither.
    """

    opening: NDArray[np.float64]
    loudness: NDArray[np.float64]
    closures: tuple[range, ...]
    vowels: tuple[int, ...]
    silent: NDArray[np.bool_]
    spoken: NDArray[np.bool_]


def of_clip(clip: Clip, tracks: Mapping[str, Any]) -> Reference:
    """Read a clip's demands off its tracks: `bilabial` (T,), `phoneme` (P,), `phoneme_time` (P, 2) in s, if there."""
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
    """What can be known of an unlabelled recording: how loud it is, and when it is silent."""
    heard = loudness(speech, count)
    quiet = heard <= SILENT_SHARE * np.percentile(heard, LOUD_PERCENTILE)
    return Reference(heard, heard, (), (), eroded(quiet, SILENCE_MARGIN_FRAMES), ~quiet)


def loudness(speech: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Loudness of `count` frames, smoothed over three: what an envelope puppet's jaw would do. (count,)."""
    step = SAMPLE_RATE_HZ // FPS
    padded = np.pad(speech, (0, count * step))[: count * step]
    rms = np.sqrt((padded.reshape(count, step).astype(np.float64) ** 2).mean(1))
    return np.convolve(rms, np.ones(3) / 3, mode="same")[:count]


def runs(flags: NDArray[np.bool_]) -> list[range]:
    """Spans of consecutive true values of (T,)."""
    edges = np.flatnonzero(np.diff(np.pad(flags.astype(np.int8), 1)))
    return [range(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def eroded(flags: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    """True only where every frame within `margin` is true; the recording's own ends take nothing away."""
    padded = np.pad(flags, margin, constant_values=True)
    shifts = [padded[shift : shift + len(flags)] for shift in range(2 * margin + 1)]
    return np.asarray(np.all(shifts, axis=0))
