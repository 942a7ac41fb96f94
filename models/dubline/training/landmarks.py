"""Measures landmarks of clips without labels: `python -m dubline.training.landmarks CLIPS --pictures FOLDER`.

With them, recordings and pictures of people can train the mouth-eye refiner: driving frames are selected by their lips
and registered to the rendering. Pictures become clips of one frame.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image
from rich.console import Console

from dubline.models.presets import PRESETS
from dubline.training.cli_errors import UsageError, exit_on_usage_error
from dubline.training.evaluation.generation.portrait import SUFFIXES, read_portrait, unique_name
from dubline.training.evaluation.generation.video_writer import write_video
from dubline.training.evaluation.landmarks.client import LandmarkClient

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Share of the frames in which a face must be found.
LEAST_FOUND: Final = 0.9


def add_pictures(paths: Sequence[Path], out: Path, size_px: int) -> list[Path]:
    """Write the framed faces of pictures as clips of one frame; those without a face are left out.

    Args:
        paths: of the pictures.
        out: folder of the clips.
        size_px: side of the frames.

    Returns:
        Paths of the clips.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for path in paths:
        if (portrait := read_portrait(path)) is None:
            continue
        square = Image.fromarray(portrait.picture).resize((size_px, size_px), Image.Resampling.LANCZOS)
        clip = out / f"{unique_name(path)}.mp4"
        write_video(clip, iter([np.asarray(square)[None]]), 1)
        meta = {"kind": "picture", "split": "train", "size": size_px}
        np.savez(clip.with_suffix(".npz"), meta=json.dumps(meta))
        written.append(clip)
    return written


def measure(clips: Sequence[Path], folder: Path) -> int:
    """Write measured landmarks into the npz of clips that have none.

    Args:
        clips: paths of the mp4 files.
        folder: for the measurements of the landmark process.

    Returns:
        The number of clips that have got landmarks.

    Raises:
        UsageError: the landmark process failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    client, unknown = LandmarkClient(folder, Console()), [clip for clip in clips if "landmarks" not in _tracks(clip)]
    for clip in unknown:
        client.submit(clip, points=True)
    found = client.finish(lambda _done, _total: None)
    if client.failure:
        raise UsageError(client.failure)
    return sum(_write(clip, found[clip].points) for clip in unknown)


def _tracks(clip: Path) -> dict[str, Any]:
    with np.load(clip.with_suffix(".npz")) as tracks:
        return dict(tracks)


def _write(clip: Path, points: NDArray[np.float64] | None) -> bool:
    """Add landmarks (T, 68, 2) in [-1, 1] to a clip; False if a face is found too rarely."""
    seen = np.empty(0, np.intp) if points is None else np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    if points is None or len(seen) < LEAST_FOUND * len(points):
        return False
    # Frames without a face get the landmarks of the frame before, or of the first with a face.
    nearest = seen[np.maximum(np.searchsorted(seen, np.arange(len(points)), side="right") - 1, 0)]
    tracks = _tracks(clip)
    side = json.loads(str(tracks["meta"])).get("size", 256)
    landmarks = ((points[nearest] + 1) * side / 2).astype(np.float32)
    # The other tracks exist nowhere else.
    unfinished = clip.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez(file, **tracks, landmarks=landmarks)
    unfinished.replace(clip.with_suffix(".npz"))
    return True


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.landmarks", description=__doc__)
    parser.add_argument("clips", type=Path, help="folder of NAME.mp4 + NAME.npz")
    parser.add_argument("--pictures", type=Path, help="folder of portraits that are added to the clips")
    parser.add_argument("--preset", choices=PRESETS, default="base", help="whose side the pictures get")
    args = parser.parse_args()
    if args.pictures:
        paths = sorted(path for path in args.pictures.rglob("*") if path.suffix.lower() in SUFFIXES)
        add_pictures(paths, args.clips, PRESETS[args.preset].size_px)
    clips = sorted(path for path in args.clips.glob("*.mp4") if path.with_suffix(".npz").exists())
    count = measure(clips, args.clips / "landmarks")
    print(f"{count} of {len(clips)} clips have got landmarks")  # noqa: T201 - the result


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
