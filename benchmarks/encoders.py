"""Rates of the video encoders: x264 as the worker runs it, in one or more processes, and NVENC.

python -m benchmarks.encoders [--quick]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import imageio_ffmpeg
import numpy as np
from benchmarks.speed import report
from rich.console import Console

from dubline.options.output import exit_if_unread
from dubline.worker.media import mux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SIZES: Final = ((512, 512), (1080, 1920))
FRAMES: Final = 120
NVENC: Final = ("-c:v", "h264_nvenc", "-preset", "p4", "-rc", "vbr", "-cq", "19", "-bf", "0", "-g", "250")


def encoder_rates(*, quick: bool = False) -> Iterator[dict[str, Any]]:
    """Yield frames per second of all processes together, by encoder, number of processes and size."""
    processors = len(os.sched_getaffinity(0))
    counts = [1] if quick else [count for count in (1, 2, 4, 8) if count <= max(2, processors)]
    for width, height in ((64, 64),) if quick else SIZES:
        frames = _frames(width, height, 2 if quick else FRAMES)
        for encoder, encode in (("x264", _x264), ("nvenc", _nvenc)):
            for count in counts:
                row: dict[str, Any] = {"name": f"{encoder}, {width} x {height} px, {count} processes"}
                try:
                    seconds, size_bytes = _run(encode, frames, count)
                    row |= {"fps": count * len(frames) / seconds, "kb_per_s": size_bytes / 1000 / (len(frames) / 25)}
                except (OSError, subprocess.CalledProcessError) as error:
                    row["error"] = _reason(error)
                yield row


def _reason(error: Exception) -> str:
    said = getattr(error, "stderr", b"") or str(error).encode()
    return str(said.decode(errors="replace").strip().splitlines()[0][:80])


def _run(encode: Callable[[list[NDArray[np.uint8]], Path], None], frames: Any, count: int) -> tuple[float, int]:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(count) as threads:
        paths = [Path(folder) / f"{number}.mp4" for number in range(count)]
        began_s = time.perf_counter()
        list(threads.map(lambda path: encode(frames, path), paths))
        return time.perf_counter() - began_s, paths[0].stat().st_size


def _x264(frames: list[NDArray[np.uint8]], path: Path) -> None:
    rows, width = frames[0].shape
    mux.encode_segment(frames, width, rows * 2 // 3, path)


def _nvenc(frames: list[NDArray[np.uint8]], path: Path) -> None:
    rows, width = frames[0].shape
    source = ("-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{rows * 2 // 3}", "-r", "25", "-i", "pipe:0")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", *source, *NVENC, str(path)]
    # Frames of a segment fit into memory; what is compared is the encoder and not the pipe.
    data = b"".join(frame.tobytes() for frame in frames)
    subprocess.run(command, input=data, check=True, capture_output=True)


def _frames(width: int, height: int, count: int) -> list[NDArray[np.uint8]]:
    """Return I420 frames of a smooth picture that moves by a pixel in each frame."""
    noise = np.random.default_rng(0).integers(0, 256, (height * 3 // 2 // 8, (width + count) // 8 + 1))
    smooth = np.kron(noise, np.ones((8, 8))).astype(np.uint8)
    rows = height * 3 // 2
    padded = np.zeros((rows, width + count), dtype=np.uint8)
    part = smooth[:rows, : width + count]
    padded[: part.shape[0], : part.shape[1]] = part
    return [np.ascontiguousarray(padded[:, number : number + width]) for number in range(count)]


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smallest sizes")
    report.print_section(Console(width=160), "encoders", list(encoder_rates(quick=parser.parse_args().quick)))


if __name__ == "__main__":
    with exit_if_unread():
        main()
