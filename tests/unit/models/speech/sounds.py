"""Sounds around a voice: noise, chords, quiet."""

from __future__ import annotations

import numpy as np

RATE_HZ = 16_000


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def noise(seconds: float, level: float = 1.0) -> np.ndarray:
    """Return white noise of an RMS."""
    return (level * np.random.default_rng(1).normal(size=round(seconds * RATE_HZ))).astype(np.float32)


def quiet(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE_HZ), np.float32)


def chords(seconds: float, level: float = 0.1) -> np.ndarray:
    """Return decaying chords, two a second."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    strokes = np.exp(-3 * (time_s % 0.5))
    notes = sum(np.sin(2 * np.pi * hz * time_s) for hz in (220.0, 277.2, 329.6, 440.0))
    return (level / 2 * strokes * notes).astype(np.float32)


def embedded(voice: np.ndarray, background: np.ndarray, at_s: float) -> np.ndarray:
    """Add a voice to a background."""
    whole = background.copy()
    start = round(at_s * RATE_HZ)
    whole[start : start + len(voice)] += voice
    return whole
