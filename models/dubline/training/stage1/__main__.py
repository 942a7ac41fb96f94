"""The command line of stage 1: `python -m dubline.training.stage1 CLIPS --minutes 40`."""

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
from dubline.training.stage1.train import LEARNING_RATE, WARM_UP_STEPS, Recipe, train

_log = structlog.get_logger(__name__)

#: The paper's ablations by name, as switches of the preset.
SWITCHES: Final = {"appearance": "uses_appearance", "transformer": "uses_transformer", "attention": "uses_attention"}


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+", help="folders of NAME.mp4 + NAME.npz")
    parser.add_argument("--dense", type=Path, help="folder of pairs whose every pixel's motion is known")
    parser.add_argument("--preset", choices=PRESETS, default="base")
    parser.add_argument("--without", choices=SWITCHES, action="append", default=[], help="train an ablation")
    parser.add_argument("--out", type=Path, default=Path("runs/base"))
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--sources", type=int, default=Recipe.sources, help="clips per step")
    parser.add_argument("--drives", type=int, default=Recipe.drives, help="driving frames of each clip per step")
    parser.add_argument("--size", type=int, help="side in px at which to render; the preset's by default")
    parser.add_argument("--every", type=int, default=1, help="keep every n-th frame of a clip in memory")
    parser.add_argument("--resume", action="store_true", help="continue from the state in --out")
    parser.add_argument("--start-from", type=Path, help="averages to begin from: a state or released weights")
    parser.add_argument("--keep-motion", action="store_true", help="train the renderer only; stage 2 stays valid")
    # `--retouch` is the name of earlier versions; it is accepted for one more release.
    parser.add_argument(
        "--refine-mouth-eyes",
        "--retouch",
        action="store_true",
        help="train the mouth-eye refiner only; all else is kept",
    )
    parser.add_argument("--formerly", type=Path, help="averages of the run whose mouth-eye refiner to carry over")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--readings", type=int, default=12, help="frames per step that are only read, not rendered")
    parser.add_argument("--warm-up", type=int, help="first steps, of the motion encoder alone; 0 with --start-from")
    parser.add_argument("--perceptual", type=float, default=Recipe.perceptual, help="weight; 0 is without")
    parser.add_argument("--adversarial", type=float, default=Recipe.adversarial, help="weight, for a warm start")
    parser.add_argument("--teacher", type=float, default=Recipe.teacher, help="weight of the exact geometry")
    args = parser.parse_args()
    if "--retouch" in sys.argv:
        _log.warning("option_renamed", old="--retouch", new="--refine-mouth-eyes")
    preset = PRESETS[args.preset]
    switches: dict[str, Any] = {SWITCHES[name]: False for name in args.without}
    preset = replace(preset, autoencoder=replace(preset.autoencoder, **switches))
    # A trained encoder must not be led away from its renderer unasked.
    warm_up = (0 if args.start_from else WARM_UP_STEPS) if args.warm_up is None else args.warm_up
    clips = read_corpus(args.clips, preset.size_px, heldout=False, every=args.every)
    recipe = Recipe(
        minutes=args.minutes,
        sources=args.sources,
        drives=args.drives,
        size_px=args.size,
        resume=args.resume,
        start_from=args.start_from,
        keep_motion=args.keep_motion,
        refine_mouth_eyes=args.refine_mouth_eyes,
        formerly=args.formerly,
        learning_rate=args.learning_rate,
        readings=args.readings,
        warm_up=warm_up,
        perceptual=args.perceptual,
        adversarial=args.adversarial,
        teacher=args.teacher,
    )
    dense = DensePairSampler(args.dense, preset.size_px) if args.dense else None
    train(clips, preset, args.out, recipe, dense)


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
