"""Trains the mouth-eye refiner's part for mouths; all else of stage 1 is frozen.

What this part gets does not change then, so it is computed once, and a step costs a small part of a rendering.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import torch
from torch import nn

from dubline.models.precision import training_autocast
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.training.cli_errors import UsageError
from dubline.training.mouth.kinds import kinds_of
from dubline.training.mouth.objective import MouthObjective
from dubline.training.mouth.pool import SamplePool, fill_pool
from dubline.training.sample_sheet import save_sheet
from dubline.training.session import Session, training_device

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from dubline.models.presets import Preset
    from dubline.models.stage1.mouth_eye_refiner import MouthEyeRefiner, RegionRefiner
    from dubline.training.corpus import Clip
    from dubline.training.mouth.recipe import Recipe

#: Samples per step.
BATCH: Final = 8
LEARNING_RATE: Final = 4e-4
SHEET_STEPS: Final = 500


@dataclass(frozen=True)
class Run:
    """One training run."""

    refiner: MouthEyeRefiner
    pool: SamplePool
    objective: MouthObjective
    session: Session


def train(clips: Sequence[Clip], preset: Preset, out: Path, recipe: Recipe) -> Path:
    """Train for a number of minutes or of steps; state, curves and a sample sheet are written to `out`.

    Args:
        clips: with landmarks: recordings, rendered clips and pictures.
        preset: to train.
        out: the run's folder.
        recipe: how to train.

    Returns:
        Path of the state, which has averages of all of stage 1.

    Raises:
        FileNotFoundError: there is nothing to resume or to start from.
        UsageError: the clips cannot teach mouths, or the weights have no trained mouth-eye refiner.
    """
    torch.manual_seed(0)
    run = prepare(clips, preset, out, recipe)
    while not run.session.finished:
        step(run)
    run.session.save()
    return run.session.path


def prepare(clips: Sequence[Clip], preset: Preset, out: Path, recipe: Recipe) -> Run:
    """Load the weights and compute everything that the steps of a run need."""
    kinds, device = kinds_of(clips), training_device()
    network = Autoencoder(preset.autoencoder).to(device)
    refiner = network.mouth_eye_refiner
    if refiner is None:
        raise UsageError("this preset has no mouth-eye refiner: choose another preset")
    if not recipe.resume and recipe.start_from is None:
        raise UsageError("there is no trained network: resume, or start from averages")
    mouth = cast("RegionRefiner", refiner.boxes["mouth"])
    objective = MouthObjective(recipe, cast("nn.Conv2d", mouth.output[-1]).weight)
    session = Session(
        # With the keys of released weights.
        nn.ModuleDict({"autoencoder": network}),
        out / "stage1.pt",
        minutes=recipe.minutes,
        budget=recipe.steps,
        learning_rate=LEARNING_RATE,
        resume=recipe.resume,
        start_from=recipe.start_from,
        batch=BATCH,
        companions=objective.companions,
    )
    if refiner.is_untrained:
        raise UsageError(
            "these weights have no trained mouth-eye refiner: train it first, by stage1 --refine-mouth-eyes"
        )
    network.eval()
    # Samples carry no gradient: the optimiser changes the part for mouths only.
    pool = fill_pool(network, kinds, recipe.samples, device, session.steps)
    session.restart_clock()
    return Run(refiner, pool, objective, session)


def step(run: Run) -> None:
    """Generate the mouths of a batch, improve the network and report."""
    session = run.session
    samples = session.fetch(partial(run.pool.draw, BATCH))
    with training_autocast(samples.target.device):
        generated, teeth = run.refiner.mouth_without_teeth(samples.inputs)
    total, figures = run.objective(samples, generated, teeth)
    session.step(total, **figures)
    if session.steps % SHEET_STEPS == 1:
        columns = samples.pictures[:, 6:9], samples.warped, samples.shown_by(run.refiner), samples.target
        save_sheet(session.path.with_suffix(".png"), *columns)
