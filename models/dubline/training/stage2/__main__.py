"""Command line of stage 2: `python -m dubline.training.stage2 CLIPS --minutes 25`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import structlog
from rich.console import Console

from dubline.models.presets import PRESETS, Objective
from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.corpus import Clip, find_clips, stream_corpus
from dubline.training.stage2.articulation import ArticulationSampler, read_labelled_speech
from dubline.training.stage2.encoded_clips import read_encoded, stamp
from dubline.training.stage2.recipe import Recipe
from dubline.training.stage2.train import train

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_log = structlog.get_logger(__name__)

#: Parts that can be left out, as switches of the preset.
SWITCHES: Final = {"style": "uses_style", "articulation": "uses_articulation", "appearance": "uses_appearance"}


def main() -> None:
    """Parse the command line and train."""
    args = parser().parse_args()
    if "--recited" in sys.argv:
        _log.warning("option_renamed", old="--recited", new="--articulation-windows")
    preset = PRESETS[args.preset]
    switches = {SWITCHES[name]: False for name in args.without}
    params = dataclasses.replace(preset.diffusion, objective=args.objective, **switches)
    heldout = args.heldout or args.clips
    files = [*find_clips(args.clips, heldout=False), *_heldout_clips(heldout)]
    train(
        stream_corpus(args.clips, preset.size_px, heldout=False),
        dataclasses.replace(preset, diffusion=params),
        args.out,
        recipe_of(args),
        heldout=_if_any(stream_corpus(heldout, preset.size_px, heldout=True)),
        names=[stamp(path) for path in files],
        articulation=ArticulationSampler(read_labelled_speech(args.speech), params) if args.speech else None,
        former=read_encoded(args.formerly).training if args.formerly else (),
    )


def recipe_of(args: argparse.Namespace) -> Recipe:
    """Convert parsed arguments to a recipe."""
    return Recipe(
        batch=args.batch,
        draws=args.draws,
        variants=args.variants,
        rollouts=args.rollouts,
        recorded=args.recorded,
        articulation_windows=args.articulation_windows,
        warm_up=args.warm_up,
        minutes=args.minutes,
        resume=args.resume,
        start_from=args.start_from,
    )


def _heldout_clips(folders: Sequence[Path]) -> list[Path]:
    """List the held-out clips; none if a corpus has none."""
    try:
        return find_clips(folders, heldout=True)
    except FileNotFoundError:
        return []


def _if_any(clips: Iterator[Clip]) -> Iterator[Clip]:
    """Yield the clips; none if a corpus has no held-out clips."""
    try:
        yield from clips
    except FileNotFoundError as error:
        Console().print(f"{error}; the lips are validated on training clips only", markup=False)


def parser() -> argparse.ArgumentParser:
    """Build the argument parser."""
    parser = argparse.ArgumentParser(prog="python -m dubline.training.stage2", description=__doc__)
    add = parser.add_argument
    add("clips", type=Path, nargs="+", help="folders of NAME.mp4 + NAME.npz")
    add("--heldout", type=Path, nargs="+", help="folders whose held-out clips validate the lips; default: CLIPS")
    add("--preset", choices=PRESETS, default="base")
    add("--minutes", type=float, default=25)
    add("--out", type=Path, default=Path("runs/base"))
    add("--resume", action="store_true", help="continue from the state in --out")
    add("--start-from", type=Path, help="averages to start from: a state, safetensors, or a released folder")
    add("--formerly", type=Path, help="encoded.pt of the run of those averages, if its stage 1 was another")
    add("--objective", choices=get_args(Objective), default="flow")
    add("--without", choices=SWITCHES, action="append", default=[], help="leave a part out; may be repeated")
    add("--batch", type=int, default=Recipe.batch, help="windows per step")
    add("--draws", type=int, default=Recipe.draws, help="noises per window")
    add("--variants", type=int, default=Recipe.variants, help="augmented recordings of each clip's speech")
    add("--rollouts", type=float, default=Recipe.rollouts, help="share of windows that follow the network's own motion")
    add("--recorded", type=float, help="share of windows from clips without labels; default: all clips equally often")
    add("--speech", type=Path, help="folder of NAME.flac + NAME.npz: speech with known mouth motion, without frames")
    # `--recited` is the name of earlier versions; it is accepted for one more release.
    windows = Recipe.articulation_windows
    add("--articulation-windows", "--recited", type=int, default=windows, help="windows of such speech per step")
    add("--warm-up", type=int, default=Recipe.warm_up, help="first steps, which learn from such speech only")
    return parser


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
