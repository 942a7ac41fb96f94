"""Evaluates weights: `python -m dubline.training.evaluate CLIPS [--photos FOLDER --speech FOLDER --dense FOLDER]`.

Generates held-out clips in three modes, photographs, human voices and long speech, scores them beside baselines and
prints one line of scores last; see docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, load_networks
from dubline.options.output import exit_if_unread
from dubline.training.evaluation import report
from dubline.training.evaluation.parts.dependence import measure_parts, tables
from dubline.training.evaluation.study import Study, gather
from dubline.training.session import training_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dubline.models.weights import Networks

VARIABLE: Final = "DUBLINE_CORPUS"


def parser() -> argparse.ArgumentParser:
    """Build the argument parser."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.evaluate", description=__doc__)
    named = os.environ.get(VARIABLE)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(named) if named else None, metavar="CLIPS")
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--weights", type=Path, default=RELEASED, help="folder of released presets")
    parser.add_argument("--out", type=Path, help="folder for all results; default runs/PRESET/eval")
    parser.add_argument("--clips", type=int, metavar="N", help="only N clips (and N voices), evenly spread")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="photographs of faces; default: one astronaut")
    parser.add_argument("--speech", type=Path, metavar="FOLDER", help="recordings of human voices")
    parser.add_argument("--dense", type=Path, metavar="FOLDER", help="npz files of frame pairs with their exact flow")
    parser.add_argument(
        "--training", type=Path, nargs="*", default=[], metavar="FOLDER", help="further training folders"
    )
    parser.add_argument("--parts", action="store_true", help="only print how much the output depends on each part")
    return parser


def _print_parts(networks: Networks, clips: Sequence[Path], out: Path, console: Console) -> None:
    parts = measure_parts(networks, clips)
    for table in tables(parts):
        console.print(table)
    out.mkdir(parents=True, exist_ok=True)
    (out / "parts.json").write_text(json.dumps(parts, indent=1) + "\n")


def main() -> None:
    """Parse the command line, evaluate, print the tables and the line of scores."""
    args = parser().parse_args()
    if args.folder is None:
        sys.exit(
            "Give a folder of held-out clips (NAME.mp4 beside NAME.npz): python -m dubline.training.evaluate CLIPS, "
            f"make evaluate CLIPS=folder, or {VARIABLE}=folder in the environment."
        )
    try:
        material = gather(
            args.folder,
            photos=args.photos,
            voices=args.speech,
            dense=args.dense,
            limit=args.clips,
            training=args.training,
        )
    except FileNotFoundError as error:
        sys.exit(f"{error}. docs/evaluation.md describes the folders.")
    console = Console()
    networks = load_networks(args.preset, training_device(), args.weights)
    if args.parts:
        _print_parts(networks, material.clips, args.out or Path("runs") / args.preset / "parts", console)
        return
    scores = Study(networks, material, args.out or Path("runs") / args.preset / "eval", console).run()
    report.show(scores, console)
    sys.stdout.write(report.line(scores["line"]) + "\n")


if __name__ == "__main__":
    with exit_if_unread():
        main()
