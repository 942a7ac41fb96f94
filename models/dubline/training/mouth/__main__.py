"""Trains the part for mouths: `python -m dubline.training.mouth CLIPS --start-from runs/mine/stage1.pt --minutes 20`.

All else of stage 1 is frozen. The state in `--out` has averages of all of stage 1, as that of `training.stage1` has.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dubline.models.presets import PRESETS
from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.corpus import read_corpus
from dubline.training.mouth.recipe import Recipe
from dubline.training.mouth.train import train


def main() -> None:
    """Parse the command line and train."""
    args = parser().parse_args()
    preset = PRESETS[args.preset]
    clips = read_corpus(args.clips, preset.size_px, heldout=False, every=args.every)
    recipe = Recipe(
        minutes=args.minutes,
        steps=args.steps,
        samples=args.samples,
        resume=args.resume,
        start_from=args.start_from,
        perceptual=args.perceptual,
        adversarial=args.adversarial,
    )
    train(clips, preset, args.out, recipe)


def parser() -> argparse.ArgumentParser:
    """Build the argument parser."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.mouth", description=__doc__)
    add = parser.add_argument
    add("clips", type=Path, nargs="+", help="folders of clips with landmarks: of people, rendered ones, and portraits")
    add("--preset", choices=PRESETS, default="base")
    add("--out", type=Path, default=Path("runs/mouth"))
    add("--start-from", type=Path, help="averages to start from: a state or released weights")
    add("--resume", action="store_true", help="continue from the state in --out")
    add("--minutes", type=float, default=20, help="time limit, without that of the samples")
    add("--steps", type=int, help="number of steps instead of a time limit")
    add("--samples", type=int, default=Recipe.samples, help="inputs to compute; 1,000 take .7 GB at 256 px")
    add("--every", type=int, default=1, help="keep every n-th frame of a clip in memory")
    add("--perceptual", type=float, default=Recipe.perceptual, help="weight; 0 leaves it out")
    add("--adversarial", type=float, default=Recipe.adversarial, help="gradient over that of the other losses")
    return parser


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
