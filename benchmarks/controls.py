"""Effect of the motion controls: `python -m benchmarks.controls CLIPS [--preset tiny --clips 10]`.

Renders held-out clips from their speech with every setting. Amounts of motion are root mean squares relative to the
portrait, measured in the sampled motion (`sent`) and in the motion that the motion encoder estimates from the rendered
frames (`seen`). Blinks have their rate and the amount by which lids come down: 1 is the amount in the blinks of clips,
0 is none. Lips have the correlation of the estimated lip gap with the true one of the clip; a still mouth scores 0.
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
from dubline.models.motion.readout import HEAD, LIPS, MOOD
from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, load_networks
from dubline.options.output import exit_if_unread
from dubline.options.render import MotionControls
from dubline.training.corpus import Clip, read_clip
from dubline.training.evaluation.generation.animation import Animation
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
#: Fraction of closure that counts as the middle of a blink.
DOWN: Final = 0.8


class Score(NamedTuple):
    """Scores of one clip with one setting."""

    sent: list[float]
    """Amounts of motion of `PARTS` in the sampled motion."""
    seen: list[float]
    """The same, estimated from the rendered frames."""
    blinks_per_minute: float
    lids_seen: float
    lips_sent: float
    lips_seen: float
    silent_lip_speed: float
    """In cm per frame."""


def settings() -> Iterator[tuple[str, MotionControls]]:
    """Yield every setting with its name, the neutral one first."""
    yield "as drawn", AS_DRAWN
    for name in ("head_motion", "blink", "expression"):
        for factor in (0.0, 0.5, 1.5, 2.0):
            yield f"{name} {factor:g}", MotionControls(**{name: factor, "shut_in_silence": 0.0})
    yield "shut_in_silence 1", MotionControls()


def speaks(path: Path) -> bool:
    """Tell whether a clip has a known lip gap that follows its speech."""
    with np.load(path.with_suffix(".npz")) as tracks:
        return "landmarks" in tracks and json.loads(str(tracks["meta"]))["kind"] == "speech"


def score(renderer: MotionRenderer, clip: Clip, silent: np.ndarray, controls: MotionControls) -> Score:
    """Sample, render and measure one clip."""
    animation = Animation(renderer.networks, clip.frames[0])
    source, sent = animation.source, animation.sample_motion(clip.speech, len(clip.frames), controls, SEED)
    seen = renderer.encode_motion(np.concatenate(list(animation.render(sent, blinks=True))))
    truth = np.asarray(clip.geometry)[:, -1].astype(np.float64)
    readings = [renderer.readings(source, motion) for motion in (sent, seen)]
    sizes = [[float(read[:, part].square().mean().sqrt()) for part in PARTS.values()] for read in readings]
    gaps = [read[:, LIPS].double().cpu().numpy() for read in readings]
    resting = speeds(gaps[0], silent)
    silent_lip_speed = float(resting.mean()) if len(resting) else float("nan")
    shut = Blinks(controls.blink, SEED)(len(clip.frames))
    blinks_per_minute = 60 * renderer.networks.preset.fps * int(((shut[1:] > 0) & (shut[:-1] == 0)).sum()) / len(shut)
    lids = lids_down(renderer, source, seen, shut)
    lips = [correlation(gap, truth) for gap in gaps]
    return Score(sizes[0], sizes[1], blinks_per_minute, lids, lips[0], lips[1], silent_lip_speed)


def lids_down(renderer: MotionRenderer, source: Source, motion: Tensor, shut: Tensor) -> float:
    """Return how much further lids of motion (T, M) are down within blinks than between them; NaN without blinks."""
    whiten, direction = renderer.networks.diffusion.whitening, renderer.networks.readout.lid_closure
    lids = whiten(motion, source.motion) @ direction / direction.square().sum()
    down = lids[shut > DOWN]
    return float(down.mean() - lids[shut == 0].mean()) if len(down) else float("nan")


def main() -> None:
    """Measure all settings and print the table."""
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
    columns = [f"{part} {how}" for how in ("sent", "seen") for part in PARTS]
    table = Table("setting", *columns, "blinks/min", "lids down", "lips sent", "lips seen", "silence, cm")
    for name, each in scores.items():
        # NaN where no clip has blinks or silence.
        row = np.ma.masked_invalid([[*s.sent, *s.seen, *s[2:]] for s in each]).mean(axis=0).filled(np.nan)
        table.add_row(name, *(f"{value:.3f}" for value in row))
    Console(width=160).print(table, f"{len(scores['as drawn'])} clips")


if __name__ == "__main__":
    with exit_if_unread():
        main()
