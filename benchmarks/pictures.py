"""Makes the README's pictures of the videos that `make demo` writes to out/: `python -m benchmarks.pictures`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import av
from PIL import Image

from dubline.options.output import exit_if_unread

VIDEOS: Final = Path("out")
PICTURES: Final = Path("docs/pictures")
#: Contact sheet: frames of each video, evenly spread, and their side.
COLUMNS: Final = 8
CELL_PX: Final = 176
#: Animation: these videos side by side, every second frame.
TOGETHER: Final = ("ada-english", "ben-spanish")
CLIP_PX: Final = 288
STEP: Final = 2


def frames(name: str) -> list[Image.Image]:
    """Read all frames of one video."""
    with av.open(str(VIDEOS / f"{name}.mp4")) as container:
        return [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]


def beside(pictures: list[Image.Image], side_px: int) -> Image.Image:
    """Place square pictures in a row."""
    row = Image.new("RGB", (side_px * len(pictures), side_px))
    for column, picture in enumerate(pictures):
        row.paste(picture.resize((side_px, side_px), Image.Resampling.LANCZOS), (side_px * column, 0))
    return row


def sheet(names: list[str]) -> Image.Image:
    """Make a contact sheet with one row of frames per video."""
    whole = Image.new("RGB", (CELL_PX * COLUMNS, CELL_PX * len(names)))
    for line, name in enumerate(names):
        video = frames(name)
        chosen = [video[(2 * column + 1) * len(video) // (2 * COLUMNS)] for column in range(COLUMNS)]
        whole.paste(beside(chosen, CELL_PX), (0, CELL_PX * line))
    return whole


def main() -> None:
    """Write the contact sheet and the animation."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PICTURES.mkdir(parents=True, exist_ok=True)
    sheet(sorted(path.stem for path in VIDEOS.glob("*.mp4"))).save(PICTURES / "contact.jpg", quality=88)
    videos = [frames(name)[::STEP] for name in TOGETHER]
    clip = [beside(list(row), CLIP_PX) for row in zip(*videos, strict=False)]
    first, *rest = clip
    first.save(PICTURES / "speaking.webp", save_all=True, append_images=rest, duration=40 * STEP, loop=0, quality=70)


if __name__ == "__main__":
    with exit_if_unread():
        main()
