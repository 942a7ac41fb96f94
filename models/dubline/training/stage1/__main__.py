"""Command line of stage 1: `python -m dubline.training.stage1 CLIPS --minutes 40`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog

from dubline.models.presets import PRESETS
from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.corpus import read_corpus
from dubline.training.stage1.data.exact_geometry import DensePairSampler
from dubline.training.stage1.recipe import LEARNING_RATE, WARM_UP_STEPS, Recipe
from dubline.training.stage1.train import train

_log = structlog.get_logger(__name__)

#: Ablations of the paper, as switches of the preset.
SWITCHES: Final = {"appearance": "uses_appearance", "transformer": "uses_transformer", "attention": "uses_attention"}


def main() -> None:
    """Parse the command line and train."""
    args = parser().parse_args()
    if "--retouch" in sys.argv:
        _log.warning("option_renamed", old="--retouch", new="--refine-mouth-eyes")
    preset = PRESETS[args.preset]
    switches: dict[str, Any] = {SWITCHES[name]: False for name in args.without}
    preset = replace(preset, autoencoder=replace(preset.autoencoder, **switches))
    clips = read_corpus(args.clips, preset.size_px, heldout=False, every=args.every)
    recipe = recipe_of(args)
    dense = DensePairSampler(args.dense, preset.size_px) if args.dense else None
    train(clips, preset, args.out, recipe, dense)


def parser() -> argparse.ArgumentParser:
    """Build the argument parser."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.stage1", description=__doc__)
    add = parser.add_argument
    add("clips", type=Path, nargs="+", help="folders of NAME.mp4 + NAME.npz")
    add("--dense", type=Path, help="folder of frame pairs with exact flow")
    add("--preset", choices=PRESETS, default="base")
    add("--without", choices=SWITCHES, action="append", default=[], help="train an ablation")
    add("--out", type=Path, default=Path("runs/base"))
    add("--minutes", type=float, default=40)
    add("--sources", type=int, default=Recipe.sources, help="clips per step")
    add("--drives", type=int, default=Recipe.drives, help="driving frames of each clip per step")
    add("--size", type=int, help="side in px at which to render; default: the preset's")
    add("--every", type=int, default=1, help="keep every n-th frame of a clip in memory")
    add("--resume", action="store_true", help="continue from the state in --out")
    add("--start-from", type=Path, help="averages to start from: a state or released weights")
    add("--keep-motion", action="store_true", help="train the renderer only; stage 2 stays valid")
    # `--retouch` is the name of earlier versions; it is accepted for one more release.
    add("--refine-mouth-eyes", "--retouch", action="store_true", help="train the mouth-eye refiner only")
    add("--formerly", type=Path, help="averages of the run whose mouth-eye refiner is adapted to these latents")
    add("--learning-rate", type=float, default=LEARNING_RATE)
    add("--readings", type=int, default=12, help="further frames per step for the supervision heads, not rendered")
    add("--warm-up", type=int, help="first steps, which train the motion encoder only; default 0 with --start-from")
    add("--perceptual", type=float, default=Recipe.perceptual, help="weight; 0 leaves it out")
    add("--teacher", type=float, default=Recipe.teacher, help="weight of the losses on exact geometry")
    return parser


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Convert parsed arguments to a recipe."""
    # Averages to start from have an encoder and a renderer that fit each other: no warm-up of the encoder alone.
    default = 0 if args.start_from else WARM_UP_STEPS
    return Recipe(
        minutes=args.minutes,
        sources=args.sources,
        drives=args.drives,
        size_px=args.size,
        resume=args.resume,
        start_from=args.start_from,
        keep_motion=args.keep_motion,
        refine_mouth_eyes=args.refine_mouth_eyes,
        former=args.formerly,
        learning_rate=args.learning_rate,
        readings=args.readings,
        warm_up=default if args.warm_up is None else args.warm_up,
        perceptual=args.perceptual,
        teacher=args.teacher,
    )


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
