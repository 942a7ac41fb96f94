"""The command line of stage 2: `python -m dubline.training.stage2 CLIPS --minutes 25`."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from rich.console import Console

from dubline.models.presets import PRESETS, Objective
from dubline.training.cli_errors import exit_on_usage_error
from dubline.training.corpus import Clip, find_clips, stream_corpus
from dubline.training.stage2.articulation import ArticulationSampler, read_labelled_speech
from dubline.training.stage2.encoded_clips import read_encoded
from dubline.training.stage2.train import RECIPE, Recipe, train

if TYPE_CHECKING:
    from collections.abc import Iterator

SWITCHES: Final = {"style": "uses_style", "articulation": "uses_articulation", "appearance": "uses_appearance"}


def main() -> None:
    """Read the command line and train."""
    args = _parser().parse_args()
    preset = PRESETS[args.preset]
    switches = {SWITCHES[name]: False for name in args.without}
    params = dataclasses.replace(preset.diffusion, objective=args.objective, **switches)
    heldout = args.heldout or args.clips
    names = [_stamp(path) for path in find_clips(args.clips, heldout=False)]
    train(
        stream_corpus(args.clips, preset.size_px, heldout=False),
        dataclasses.replace(preset, diffusion=params),
        args.out,
        minutes=args.minutes,
        resume=args.resume,
        recipe=Recipe(args.batch, args.draws, args.variants, args.rollouts, args.recited, args.warm_up),
        heldout=_if_any(stream_corpus(heldout, preset.size_px, heldout=True)),
        names=[*names, *map(str, heldout)],
        articulation=ArticulationSampler(read_labelled_speech(args.speech), params) if args.speech else None,
        start_from=args.start_from,
        formerly=read_encoded(args.formerly).training if args.formerly else (),
    )


def _stamp(path: Path) -> str:
    """A clip as it is now: one that is rendered again is encoded again."""
    stat = path.stat()
    return f"{path} {stat.st_size} {stat.st_mtime_ns}"


def _if_any(clips: Iterator[Clip]) -> Iterator[Clip]:
    """The clips; none where a corpus keeps none apart."""
    try:
        yield from clips
    except FileNotFoundError as error:
        Console().print(f"{error}; the lips are checked on training clips only", markup=False)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("clips", type=Path, nargs="+", help="folders of NAME.mp4 + NAME.npz")
    add("--heldout", type=Path, nargs="+", help="folders whose held-out clips check the lips; else those of CLIPS")
    add("--preset", choices=PRESETS, default="base")
    add("--minutes", type=float, default=25)
    add("--out", type=Path, default=Path("runs/base"))
    add("--resume", action="store_true", help="continue from the state in --out")
    add("--start-from", type=Path, help="averages to begin from: a state, safetensors, or a released folder")
    add("--formerly", type=Path, help="encoded.pt of the run that those averages come from, if stage 1 was another")
    add("--objective", choices=get_args(Objective), default="flow")
    add("--without", choices=SWITCHES, action="append", default=[], help="leave a part out; may be repeated")
    add("--batch", type=int, default=RECIPE.batch, help="windows per step")
    add("--draws", type=int, default=RECIPE.draws, help="noises per window")
    add("--variants", type=int, default=RECIPE.variants, help="further recordings of each clip's speech")
    add("--rollouts", type=float, default=RECIPE.rollouts, help="share of windows after the network's own motion")
    add("--speech", type=Path, help="folder of NAME.flac + NAME.npz: speech whose mouth is known, without pictures")
    add("--recited", type=int, default=RECIPE.recited, help="windows of such speech per step")
    add("--warm-up", type=int, default=RECIPE.warm_up, help="first steps that learn from such speech alone")
    return parser


if __name__ == "__main__":
    with exit_on_usage_error():
        main()
