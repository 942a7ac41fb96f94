"""Trains stage 1 on talking-head clips.

A source frame and a few driving frames of one clip are drawn; each driving frame is rendered from the source and its
own motion latent.
"""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import torch
from rich.console import Console

from dubline.models.layers import resize
from dubline.models.precision import bf16_autocast
from dubline.training.checkpoint import load_average, read_average
from dubline.training.cli_errors import UsageError
from dubline.training.sample_sheet import save_sheet
from dubline.training.session import HEADS, Session, training_device
from dubline.training.stage1.data.pairs import Pairs, PairSampler
from dubline.training.stage1.face_regions import fit_face_regions
from dubline.training.stage1.latent_alignment import align_refiner
from dubline.training.stage1.losses.objective import Stage1Objective, head_loss
from dubline.training.stage1.losses.registration import registered
from dubline.training.stage1.probe_fitting import fit_probes
from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from dubline.models.presets import Preset
    from dubline.training.corpus import Clip
    from dubline.training.stage1.data.exact_geometry import DensePairSampler

LEARNING_RATE: Final = 5e-4
SHEET_STEPS: Final = 500
DENSE_EVERY_STEPS: Final = 3
#: Beside it the gradient of the pictures' own loss is about as large.
PERCEPTUAL: Final = 0.25
WARM_UP_STEPS: Final = 2000
#: A mouth-eye refiner's driving frames are the most telling of so many.
CANDIDATES: Final = 8


@dataclass(frozen=True)
class Recipe:
    """How to train stage 1.

    minutes: the time box. steps: taken instead, as in `Session`. sources, drives: clips a step and driving frames of
    each; what is read off a source serves all of its driving frames. size_px: side at which to render; None is the
    preset's `render_px`. resume, start_from: as in `Session`. keep_motion: leave motion latents and appearance codes
    alone, so that stage 2 stays valid. refine_mouth_eyes: train the mouth-eye refiner only, at the networks' side.
    formerly: averages whose mouth-eye refiner to begin with, in latents that have changed since.
    readings: further driving frames a step that only the motion encoder sees, for rig and landmarks of
    labelled clips.
    warm_up: steps at the beginning that do nothing else: a tenth of the price of a rendered step, and a renderer whose
    latents say nothing learns nothing.
    perceptual: weight of the perceptual loss on mouth and eyes. adversarial: of the discriminator's verdict on mouths.
    teacher: of the exact geometry. A weight of 0 leaves each out.
    """

    minutes: float = math.inf
    steps: int | None = None
    sources: int = 4
    drives: int = 3
    size_px: int | None = None
    resume: bool = False
    start_from: Path | None = None
    keep_motion: bool = False
    refine_mouth_eyes: bool = False
    formerly: Path | None = None
    learning_rate: float = LEARNING_RATE
    readings: int = 0
    warm_up: int = 0
    perceptual: float = PERCEPTUAL
    adversarial: float = 0.0
    teacher: float = 1.0

    def __post_init__(self) -> None:
        if self.formerly and not self.refine_mouth_eyes:
            raise UsageError(
                "only a mouth-eye refiner is carried over from other averages: --formerly needs --refine-mouth-eyes"
            )

    @property
    def keeps_motion(self) -> bool:
        """Whether latents and appearance codes stay what they are."""
        return self.keep_motion or self.refine_mouth_eyes


def train(
    clips: Sequence[Clip], preset: Preset, out: Path, recipe: Recipe, dense: DensePairSampler | None = None
) -> Path:
    """Train for a number of minutes or of steps; state, curves and sample sheets go to `out`. Returns the state's path.

    With `dense` every third step is a lesson of exact geometry.
    """
    torch.manual_seed(0)
    size_px, device = _side(recipe, preset), training_device()
    sampler = PairSampler(clips, device)
    model = SupervisedAutoencoder(preset.autoencoder, sampler.mean.size).to(device)
    objective = Stage1Objective(recipe.perceptual, recipe.adversarial, recipe.teacher, device)
    session = Session(
        model,
        out / "stage1.pt",
        minutes=recipe.minutes,
        budget=recipe.steps,
        learning_rate=recipe.learning_rate,
        resume=recipe.resume,
        start_from=recipe.start_from,
        batch=recipe.sources * recipe.drives,
        companions=objective.companions,
    )
    if headless := [head for head in HEADS if head in session.untrained]:
        averaged = cast("SupervisedAutoencoder", session.average.network)
        fit_probes(averaged, sampler, headless)
        model.load_state_dict(averaged.state_dict())
    if recipe.keeps_motion:
        _freeze(model, session, recipe, sampler)
    sampler.seed(session.steps)
    if dense:
        dense.seed(session.steps)
    # There is nothing to read without a rig, and nothing to learn for an encoder that is kept.
    warm_up = recipe.warm_up if any(clip.labelled for clip in clips) and not recipe.keeps_motion else 0
    while not session.finished:
        if session.steps < warm_up:
            misread = _misread(model, sampler, session, recipe.sources * recipe.drives)
            session.step(misread, read=misread.detach())
            if session.steps == warm_up:
                session.restart_warm_up()
            continue
        # A lesson is about the deformation, which a mouth-eye refiner leaves as it is.
        lesson = dense if session.steps % DENSE_EVERY_STEPS == 0 and not recipe.refine_mouth_eyes else None
        pairs = session.fetch(partial(_draw, sampler, recipe, lesson))
        with bf16_autocast(device):
            rendering, read = model(
                pairs.sources, pairs.augmented, size_px, mouth_eyes_refined=recipe.refine_mouth_eyes
            )
        if recipe.refine_mouth_eyes:
            pairs = registered(pairs, rendering.deformation.mixed)
        verdict = objective(rendering, read, pairs)
        further = (
            _misread(model, sampler, session, recipe.readings) if recipe.readings and not recipe.keeps_motion else 0.0
        )
        session.step(verdict.total + recipe.teacher * further, **verdict.figures)
        if session.steps % SHEET_STEPS == 1:
            sources = pairs.sources.repeat_interleave(len(pairs.driving) // len(pairs.sources), 0)
            side = rendering.frame.shape[-1]
            seen = (resize(part, side, side) for part in (sources, pairs.augmented, pairs.driving))
            save_sheet(out / "stage1.png", *seen, rendering.warped, rendering.frame)
    session.save()
    return session.path


def _side(recipe: Recipe, preset: Preset) -> int:
    """The side in px at which the renderer renders."""
    size_px = recipe.size_px or preset.autoencoder.render_px
    if recipe.refine_mouth_eyes and size_px >= preset.size_px and preset.autoencoder.mouth_eye_widths:
        raise UsageError(f"at {size_px} px there is nothing to refine: render at less than {preset.size_px}")
    return size_px


def _freeze(model: SupervisedAutoencoder, session: Session, recipe: Recipe, sampler: PairSampler) -> None:
    """Leave alone what the plan keeps, as it is in the averages: stage 2 was trained on those."""
    if not session.steps and not recipe.start_from:
        raise UsageError("there is no trained motion to keep: resume, or start from averages")
    averaged = cast("SupervisedAutoencoder", session.average.network)
    if recipe.refine_mouth_eyes:
        if recipe.formerly:
            _adopt_refiner(averaged, recipe.formerly, session, sampler)
        _initialise_refiner(averaged, session, sampler)
    model.load_state_dict(averaged.state_dict())
    network = model.autoencoder
    if network.mouth_eye_refiner is not None and recipe.refine_mouth_eyes:
        # Running statistics are kept as well.
        model.eval().requires_grad_(requires_grad=False)
        network.mouth_eye_refiner.requires_grad_(requires_grad=True)
        network.mouth_eye_refiner.face_regions.requires_grad_(requires_grad=False)
    else:
        network.motion_encoder.requires_grad_(requires_grad=False)
        network.appearance_extractor.requires_grad_(requires_grad=False)


def _initialise_refiner(averaged: SupervisedAutoencoder, session: Session, sampler: PairSampler) -> None:
    """Tell a mouth-eye refiner that has learnt nothing yet what the geometry head reads, and where mouths and eyes are.

    Raises:
        UsageError: there is no mouth-eye refiner.
    """
    mouth_eye_refiner = averaged.autoencoder.mouth_eye_refiner
    if mouth_eye_refiner is None:
        raise UsageError("this preset has no mouth-eye refiner: train its renderer, or choose another preset")
    if mouth_eye_refiner.is_untrained:
        mouth_eye_refiner.init_readings(averaged.geometry_head.weight)
        fit_face_regions(averaged.autoencoder, sampler)
        session.average.reset()
        session.restart_warm_up()


def _adopt_refiner(averaged: SupervisedAutoencoder, formerly: Path, session: Session, sampler: PairSampler) -> None:
    """Go on with another run's mouth-eye refiner, unless this run resumes one of its own."""
    mouth_eye_refiner = averaged.autoencoder.mouth_eye_refiner
    if session.steps and mouth_eye_refiner is not None and not mouth_eye_refiner.is_untrained:
        Console().print(f"{formerly} is left aside: this run's own mouth-eye refiner goes on", markup=False)
        return
    former = deepcopy(averaged)
    load_average(former, read_average(formerly)[0], optional=HEADS)
    said = align_refiner(averaged.autoencoder, former.autoencoder, sampler)
    Console().print(f"these latents say {said:.0%} of what the mouth-eye refiner heard before", markup=False)


def _misread(model: SupervisedAutoencoder, sampler: PairSampler, session: Session, count: int) -> Tensor:
    """How wrongly the motion encoder reads rig and landmarks off `count` frames of different clips."""
    pairs = session.fetch(partial(sampler.draw, count, 1))
    with bf16_autocast(sampler.device):
        read = model.read(pairs.augmented)
    return head_loss(read, pairs)


def _draw(sampler: PairSampler, recipe: Recipe, dense: DensePairSampler | None) -> Pairs:
    if dense is None:
        return sampler.draw(recipe.sources, recipe.drives, CANDIDATES if recipe.refine_mouth_eyes else 1)
    return sampler.lesson(dense.draw(recipe.sources * recipe.drives, sampler.device))
