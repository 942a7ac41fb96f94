"""Generated media files for tests: pictures by Pillow, speech by ffmpeg, in every accepted format."""

from __future__ import annotations

import io
import subprocess
import tempfile
import wave
from functools import cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np

RATE_HZ = 16_000


def opened(path: Path) -> io.BytesIO:
    """Return a file of a test as decoders get it: open, without its name."""
    return io.BytesIO(path.read_bytes())


def tone(seconds: float, rate_hz: int = RATE_HZ, level: float = 0.3) -> np.ndarray:
    """Make a voice-like tone, (n,) float64."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return level * np.sin(2 * np.pi * 220 * time_s) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time_s))


def wav(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, channels: int = 1) -> Path:
    """Write 16-bit PCM with the same samples in every channel."""
    pcm = np.repeat((samples * 32767).astype("<i2")[:, None], channels, axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(pcm.tobytes())
    return path


def convert(source: Path, target: Path, *options: str) -> Path:
    """Convert a file with ffmpeg to the format of the target's suffix."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-i", source, *options, target]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return target


def mp3(path: Path, seconds: float, rate_hz: int, channels: int, bit_rate: str = "64k") -> Path:
    """Write a tone as MP3."""
    source = wav(path.with_suffix(".wav"), tone(seconds, rate_hz), rate_hz, channels)
    return convert(source, path, "-b:a", bit_rate)


@cache
def two_seconds(rate_hz: int, channels: int, bit_rate: str) -> bytes:
    """Return the bytes of an MP3 of two seconds."""
    with tempfile.TemporaryDirectory() as folder:
        return mp3(Path(folder) / "part.mp3", 2.0, rate_hz, channels, bit_rate).read_bytes()


def concatenated(folder: Path, name: str, parts: list[tuple[int, int, str]]) -> Path:
    """Concatenate MP3s of two seconds, each with its (Hz, channels, bit rate), as text-to-speech programs do."""
    path = folder / f"{name}.mp3"
    path.write_bytes(b"".join(two_seconds(*part) for part in parts))
    return path


def tagged(data: bytes, tag_bytes: int = 3000) -> bytes:
    """Prepend an empty ID3 tag."""
    size = bytes((tag_bytes >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\4\0\0" + size + bytes(tag_bytes) + data


# Concatenated parts of different rates, channel counts, bit rates, or all of them.
CONCATENATIONS: dict[str, list[tuple[int, int, str]]] = {
    "alike": [(44_100, 1, "64k"), (44_100, 1, "64k")],
    "faster": [(22_050, 1, "64k"), (44_100, 1, "64k")],
    "slower": [(48_000, 1, "64k"), (44_100, 1, "64k")],
    "wider": [(44_100, 1, "64k"), (44_100, 2, "64k")],
    "narrower": [(44_100, 2, "64k"), (44_100, 1, "64k")],
    "richer": [(24_000, 1, "32k"), (48_000, 2, "192k"), (22_050, 1, "48k")],
}


def truncated(source: Path, target: Path, share: float) -> Path:
    """Copy the first `share` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target
