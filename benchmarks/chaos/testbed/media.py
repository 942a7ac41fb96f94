"""Uploads of a campaign: a portrait of the demo and synthetic speech."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Final

import numpy as np

PORTRAIT: Final = Path(__file__).parents[3] / "demo/portraits/ben.jpg"
RATE_HZ: Final = 16_000
PITCH_HZ: Final = 140.0
SYLLABLE_HZ: Final = 4.0


def speech(path: Path, seconds: float) -> Path:
    """Write a WAV of a harmonic tone with four syllables per second; return its path."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    voice = sum(np.sin(2 * np.pi * PITCH_HZ * harmonic * time_s) / harmonic for harmonic in range(1, 12))
    samples = 0.2 * voice * np.sin(np.pi * SYLLABLE_HZ * time_s) ** 2
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes((samples * 32_767).astype("<i2").tobytes())
    return path
