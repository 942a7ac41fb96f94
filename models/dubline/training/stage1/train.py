"""Trains stage 1 on talking-head clips.

Each step draws a source frame and a few driving frames of each clip. Each driving frame is rendered from its source and
its own motion latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import torch

from dubline.models.layers import resize
from dubline.models.precision import training_autocast
from dubline.training.cli_errors import UsageError
from dubline.training.sample_sheet import save_sheet
from dubline.training.session import HEADS, Session, training_device
from dubline.training.stage1.data.pairs import Pairs, PairSampler
from dubline.training.stage1.data.pictures import PictureSampler
from dubline.training.stage1.losses.objective import Stage1Objective, head_loss
from dubline.training.stage1.losses.registration import register
from dubline.training.stage1.losses.transfer import transfer_loss
from dubline.training.stage1.partial_training import freeze
from dubline.training.stage1.probe_fitting import fit_probes
from dubline.training.stage1.round_trips import RoundTrips, require_rendered
from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from dubline.models.presets import Preset
    from dubline.models.stage1.autoencoder import Rendering
    from dubline.training.corpus import Clip
    from dubline.training.stage1.data.exact_geometry import DensePairSampler
    from dubline.training.stage1.recipe import Recipe

SHEET_STEPS: Final = 500
#: Every third step uses pairs with exact flow, if there are any.
DENSE_EVERY_STEPS: Final = 3
#: Weight of the transfer loss: a picture's face has other proportions, so not all of it is an error.
TRANSFER: Final = 14.0
#: Pairs with exact flow for each picture that moves like one of them.
PAIRS_PER_PICTURE: Final = 3
#: Frames from which each driving frame of the mouth-eye refiner is selected.
CANDIDATES: Final = 8


@dataclass(frozen=True)
class Run:
    """One training run of stage 1."""

    recipe: Recipe
    size_px: int
    """Side at which to render."""
    sampler: PairSampler
    dense: DensePairSampler | None
    model: SupervisedAutoencoder
    objective: Stage1Objective
    session: Session
    warm_up: int
    """First steps, without rendering."""
    round_trips: RoundTrips | None = None
    """Gives pictures a source, for the mouth-eye refiner."""
    pictures: PictureSampler | None = None
    """Pictures that move as rendered heads do, for the deformation."""


def train(
    clips: Sequence[Clip], preset: Preset, out: Path, recipe: Recipe, dense: DensePairSampler | None = None
) -> Path:
    """Train for a number of minutes or of steps; state, curves and sample sheets are written to `out`.

    Args:
        clips: labelled or not.
        preset: to train.
        out: the run's folder.
        recipe: how to train.
        dense: pairs with exact flow, for every third step.

    Returns:
        Path of the state.

    Raises:
        FileNotFoundError: there is nothing to resume.
        UsageError: the recipe does not fit the clips, the preset or the weights to start from.
    """
    torch.manual_seed(0)
    run = prepare(clips, preset, out, recipe, dense)
    while not run.session.finished:
        if run.session.steps < run.warm_up:
            warm_up_step(run)
        else:
            step(run)
    run.session.save()
    return run.session.path


def prepare(clips: Sequence[Clip], preset: Preset, out: Path, recipe: Recipe, dense: DensePairSampler | None) -> Run:
    """Build or load everything that the steps of a run need."""
    size_px, device = render_side(recipe, preset), training_device()
    pictures = recipe.refine_mouth_eyes and any(len(clip.frames) == 1 for clip in clips)
    if pictures:
        require_rendered(clips)
    # Only the mouth-eye refiner learns from the pixels of pictures.
    moving = [clip for clip in clips if recipe.refine_mouth_eyes or len(clip.frames) > 1]
    still = [] if recipe.refine_mouth_eyes else [clip for clip in clips if len(clip.frames) == 1]
    if not moving:
        raise UsageError("pictures alone do not move: give clips beside them, or --refine-mouth-eyes")
    sampler = PairSampler(moving, device)
    model = SupervisedAutoencoder(preset.autoencoder, sampler.mean.size).to(device)
    objective = Stage1Objective(recipe.perceptual, recipe.teacher, device)
    session = Session(
        model,
        out / "stage1.pt",
        minutes=recipe.minutes,
        budget=recipe.steps,
        learning_rate=recipe.learning_rate,
        resume=recipe.resume,
        start_from=recipe.start_from,
        batch=recipe.sources * recipe.drives,
    )
    if missing := [head for head in HEADS if head in session.untrained]:
        averaged = cast("SupervisedAutoencoder", session.average.network)
        fit_probes(averaged, sampler, missing)
        model.load_state_dict(averaged.state_dict())
    if recipe.freezes_motion:
        freeze(model, session, recipe, sampler)
    if dense:
        dense.seed(session.steps)
    # The warm-up needs labels and an encoder that is trained.
    warm_up = recipe.warm_up if any(clip.labelled for clip in clips) and not recipe.freezes_motion else 0
    trips = RoundTrips(model.autoencoder, sampler) if pictures else None
    sampler.seed(session.steps)
    stills = PictureSampler(still, device) if any(clip.landmarks is not None for clip in still) else None
    if stills:
        stills.seed(session.steps)
    return Run(recipe, size_px, sampler, dense, model, objective, session, warm_up, trips, stills)


def render_side(recipe: Recipe, preset: Preset) -> int:
    """Return the side in px at which to render.

    Raises:
        UsageError: the mouth-eye refiner would have nothing to refine at this side.
    """
    size_px = recipe.size_px or preset.autoencoder.render_px
    if recipe.refine_mouth_eyes and size_px >= preset.size_px and preset.autoencoder.mouth_eye_widths:
        raise UsageError(f"at {size_px} px there is nothing to refine: render at less than {preset.size_px}")
    return size_px


def warm_up_step(run: Run) -> None:
    """Train the motion encoder and the heads without rendering."""
    loss = _head_loss(run, run.recipe.sources * run.recipe.drives)
    run.session.step(loss, heads=loss.detach())
    if run.session.steps == run.warm_up:
        run.session.restart_warm_up()


def step(run: Run) -> None:
    """Render a batch, improve the networks and report."""
    recipe, session = run.recipe, run.session
    pairs = session.fetch(partial(_draw, run))
    if run.round_trips is not None:
        with training_autocast(run.sampler.device):
            pairs = run.round_trips(pairs)
    with training_autocast(run.sampler.device):
        rendering, outputs = run.model(
            pairs.sources, pairs.augmented, run.size_px, mouth_eyes_refined=recipe.refine_mouth_eyes
        )
    if recipe.refine_mouth_eyes:
        pairs = register(pairs, rendering.deformation.mixed)
    value = run.objective(rendering, outputs, pairs)
    total, figures = value.total, dict(value.figures)
    if recipe.readings and not recipe.freezes_motion:
        total = total + recipe.teacher * _head_loss(run, recipe.readings)
    if run.pictures is not None and pairs.dense is not None:
        transfer = _transfer_loss(run, run.pictures, pairs)
        total, figures["transfer"] = total + transfer, transfer.detach()
    session.step(total, **figures)
    if session.steps % SHEET_STEPS == 1:
        write_sheet(session.path.with_suffix(".png"), pairs, rendering)


def write_sheet(path: Path, pairs: Pairs, rendering: Rendering) -> None:
    """Write the sample sheet: source, encoder input, target, warped source, output."""
    sources = pairs.sources.repeat_interleave(len(pairs.driving) // len(pairs.sources), 0)
    side = rendering.frame.shape[-1]
    inputs = (resize(part, side, side) for part in (sources, pairs.augmented, pairs.driving))
    save_sheet(path, *inputs, rendering.warped, rendering.frame)


def _head_loss(run: Run, count: int) -> Tensor:
    """Compute the loss of the heads on `count` frames of different clips."""
    pairs = run.session.fetch(partial(run.sampler.draw, count, 1))
    with training_autocast(run.sampler.device):
        outputs = run.model.predict(pairs.augmented)
    return head_loss(outputs, pairs)


def _transfer_loss(run: Run, pictures: PictureSampler, pairs: Pairs) -> Tensor:
    count = max(1, len(pairs.sources) // PAIRS_PER_PICTURE)
    drawn = run.session.fetch(partial(pictures.draw, count))
    with training_autocast(run.sampler.device):
        return run.recipe.teacher * TRANSFER * transfer_loss(run.model.autoencoder, drawn, pairs, run.size_px)


def _draw(run: Run) -> Pairs:
    recipe = run.recipe
    # Exact flow supervises the deformation, which does not change with the mouth-eye refiner.
    if run.dense and run.session.steps % DENSE_EVERY_STEPS == 0 and not recipe.refine_mouth_eyes:
        return run.sampler.from_dense(run.dense.draw(recipe.sources * recipe.drives, run.sampler.device))
    return run.sampler.draw(recipe.sources, recipe.drives, CANDIDATES if recipe.refine_mouth_eyes else 1)
