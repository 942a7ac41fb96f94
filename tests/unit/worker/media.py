"""Makes the files that the tests look at: pictures by Pillow, sound by ffmpeg, both in every accepted format."""

import subprocess
import wave
from pathlib import Path

import imageio_ffmpeg
import numpy as np

RATE_HZ = 16_000


def tone(seconds: float, rate_hz: int = RATE_HZ, level: float = 0.3) -> np.ndarray:
    """A voice-like buzz, (n,) float64."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return level * np.sin(2 * np.pi * 220 * time_s) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time_s))


def wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, channels: int = 1) -> Path:
    """Writes 16-bit PCM, the same samples in every channel."""
    pcm = np.repeat((samples * 32767).astype("<i2")[:, None], channels, axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())
    return path


def convert(source: Path, target: Path, *options: str) -> Path:
    """Lets ffmpeg write another format, chosen by the target's ending."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-i", source, *options, target]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target


def cut(source: Path, target: Path, share: float) -> Path:
    """Copies the first `share` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target
