"""What each control moves, and whether the lips stay: `python benchmarks/controls.py CLIPS [--preset tiny --clips 10]`.

Held-out clips speak with every setting. Sizes are root mean squares relative to the portrait: once as the motion says
it (`sent`), once as the motion encoder reads it off the rendered frames (`seen`). Of blinks it is their number, and how
far lids are seen to come down in them: 1 is what the encoder sees in the blinks of clips, 0 is nothing. Lips are what
is read as the lip gap against the clip's true one; a still picture of the mouth would score 0.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from dubline.models.motion.blinks import Blinks
from dubline.models.motion.controls import MotionControls
from dubline.models.motion.readout import HEAD, LIPS, MOOD
from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, load_networks
from dubline.training.corpus import Clip, read_clip
from dubline.training.evaluation.generation.motion_renderer import MotionRenderer
from dubline.training.evaluation.heldout import unseen_clips
from dubline.training.evaluation.scores.mouth_opening import correlation, speeds
from dubline.training.evaluation.scores.reference import of_clip
from dubline.training.evaluation.study import spread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dubline.models.stage1.autoencoder import Source

SEED: Final = 0
AS_DRAWN: Final = MotionControls(shut_in_silence=0.0)
PARTS: Final = {"head, rad": slice(HEAD.start, 3), "mood": MOOD}
#: Lids are down that far in the middle of a blink.
DOWN: Final = 0.8


class Score(NamedTuple):
    """One clip, one setting: sizes of `PARTS` sent and seen, blinks, lips, lip speed in silence in cm a frame."""

    sent: list[float]
    seen: list[float]
    blinks_a_minute: float
    lids_seen: float
    lips_sent: float
    lips_seen: float
    unrest: float


def settings() -> Iterator[tuple[str, MotionControls]]:
    """Every setting that is tried, the neutral one first."""
    yield "as drawn", AS_DRAWN
    for name in ("head_motion", "blink", "expression"):
        for factor in (0.0, 0.5, 1.5, 2.0):
            yield f"{name} {factor:g}", MotionControls(**{name: factor, "shut_in_silence": 0.0})
    yield "shut_in_silence 1", MotionControls()


def speaks(path: Path) -> bool:
    """Whether a clip's true lip gap is known and follows its sound."""
    with np.load(path.with_suffix(".npz")) as tracks:
        return "landmarks" in tracks and json.loads(str(tracks["meta"]))["kind"] == "speech"


def score(renderer: MotionRenderer, clip: Clip, silent: np.ndarray, controls: MotionControls) -> Score:
    """Sample, render and read one clip."""
    source = renderer.encode_source(clip.frames[0])
    sent = renderer.sample_motion(source, clip.speech, len(clip.frames), SEED, controls=controls)
    seen = renderer.encode_motion(np.concatenate(list(renderer.render(source, sent))))
    truth = np.asarray(clip.geometry)[:, -1].astype(np.float64)
    readings = [renderer.readings(source, motion) for motion in (sent, seen)]
    sizes = [[float(read[:, part].square().mean().sqrt()) for part in PARTS.values()] for read in readings]
    gaps = [read[:, LIPS].double().cpu().numpy() for read in readings]
    resting = speeds(gaps[0], silent)
    unrest = float(resting.mean()) if len(resting) else float("nan")
    shut = Blinks(controls.blink, SEED)(len(clip.frames))
    often = 60 * renderer.networks.preset.fps * int(((shut[1:] > 0) & (shut[:-1] == 0)).sum()) / len(shut)
    lids = lids_down(renderer, source, seen, shut)
    return Score(*sizes, often, lids, *(correlation(gap, truth) for gap in gaps), unrest)


def lids_down(renderer: MotionRenderer, source: Source, motion: Tensor, shut: Tensor) -> float:
    """How much further lids are down in motion (T, M) in the middle of blinks than between them; NaN without blinks."""
    whiten, direction = renderer.networks.diffusion.whitening, renderer.networks.readout.lid_closure
    lids = whiten(motion, source.motion) @ direction / direction.square().sum()
    down = lids[shut > DOWN]
    return float(down.mean() - lids[shut == 0].mean()) if len(down) else float("nan")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, metavar="CLIPS")
    parser.add_argument("--preset", choices=PRESETS, default="tiny")
    parser.add_argument("--weights", type=Path, default=RELEASED)
    parser.add_argument("--clips", type=int, default=10)
    args = parser.parse_args()
    networks = load_networks(args.preset, torch.device("cpu"), args.weights)
    renderer = MotionRenderer(networks)
    scores: dict[str, list[Score]] = {name: [] for name, _ in settings()}
    speaking = [path for path in unseen_clips(args.folder)[0] if speaks(path)]
    for path in spread(speaking, min(args.clips, len(speaking))):
        clip = read_clip(path, networks.preset.size_px)
        with np.load(path.with_suffix(".npz")) as tracks:
            silent = of_clip(clip, tracks).silent
        for name, controls in settings():
            scores[name].append(score(renderer, clip, silent, controls))
    heads = [f"{part} {how}" for how in ("sent", "seen") for part in PARTS]
    table = Table("setting", *heads, "blinks/min", "lids down", "lips sent", "lips seen", "silence, cm")
    for name, each in scores.items():
        # Without blinks, or without silence, there is nothing to average.
        row = np.ma.masked_invalid([[*s.sent, *s.seen, *s[2:]] for s in each]).mean(axis=0).filled(np.nan)
        table.add_row(name, *(f"{value:.3f}" for value in row))
    Console(width=160).print(table, f"{len(scores['as drawn'])} clips")


if __name__ == "__main__":
    main()
