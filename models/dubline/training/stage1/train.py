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
from dubline.training.checkpoint import load_average, read_average
from dubline.training.cli_errors import AskedWrongError
from dubline.training.sample_sheet import save_sheet
from dubline.training.session import HEADS, Session, training_device
from dubline.training.stage1.data.pairs import Deck, Pairs
from dubline.training.stage1.face_regions import fit_places
from dubline.training.stage1.heads import fit_heads
from dubline.training.stage1.latent_alignment import translate
from dubline.training.stage1.losses.objective import Criticism, misreading
from dubline.training.stage1.losses.registration import registered
from dubline.training.stage1.student import Student

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from dubline.models.presets import Preset
    from dubline.training.corpus import Clip
    from dubline.training.stage1.data.exact_geometry import DensePairs

LEARNING_RATE: Final = 5e-4
SHEET_STEPS: Final = 500
LESSON_STEPS: Final = 3
#: Beside it the gradient of the pictures' own loss is about as large.
PERCEPTUAL: Final = 0.25
WARM_UP_STEPS: Final = 2000
#: A retoucher's driving frames are the most telling of so many.
TELLING: Final = 8


@dataclass(frozen=True)
class Plan:
    """How to train stage 1.

    minutes: the time box. steps: taken instead, as in `Session`. sources, drives: clips a step and driving frames of
    each; what is read off a source serves all of its driving frames. size_px: side at which to render; None is the
    preset's `render_px`. resume, start_from: as in `Session`. keep_motion: leave motion latents and appearance codes
    alone, so that stage 2 stays valid. retouch: train the retoucher only, at the networks' side; all else is kept.
    formerly: averages whose retoucher to begin with, in latents that have changed since.
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
    retouch: bool = False
    formerly: Path | None = None
    learning_rate: float = LEARNING_RATE
    readings: int = 0
    warm_up: int = 0
    perceptual: float = PERCEPTUAL
    adversarial: float = 0.0
    teacher: float = 1.0

    def __post_init__(self) -> None:
        if self.formerly and not self.retouch:
            raise AskedWrongError("only a retoucher is carried over from other averages: --formerly needs --retouch")

    @property
    def keeps_motion(self) -> bool:
        """Whether latents and appearance codes stay what they are."""
        return self.keep_motion or self.retouch


def train(clips: Sequence[Clip], preset: Preset, out: Path, plan: Plan, dense: DensePairs | None = None) -> Path:
    """Train for a number of minutes or of steps; state, curves and sample sheets go to `out`. Returns the state's path.

    With `dense` every third step is a lesson of exact geometry.
    """
    torch.manual_seed(0)
    size_px, device = _side(plan, preset), training_device()
    deck = Deck(clips, device)
    student = Student(preset.autoencoder, deck.mean.size).to(device)
    criticism = Criticism(plan.perceptual, plan.adversarial, plan.teacher, device)
    session = Session(
        student,
        out / "stage1.pt",
        minutes=plan.minutes,
        budget=plan.steps,
        learning_rate=plan.learning_rate,
        resume=plan.resume,
        start_from=plan.start_from,
        batch=plan.sources * plan.drives,
        companions=criticism.companions,
    )
    if headless := [head for head in HEADS if head in session.untrained]:
        averaged = cast("Student", session.average.network)
        fit_heads(averaged, deck, headless)
        student.load_state_dict(averaged.state_dict())
    if plan.keeps_motion:
        _keep(student, session, plan, deck)
    deck.seed(session.steps)
    if dense:
        dense.seed(session.steps)
    # There is nothing to read without a rig, and nothing to learn for an encoder that is kept.
    warm_up = plan.warm_up if any(clip.labelled for clip in clips) and not plan.keeps_motion else 0
    while not session.over:
        if session.steps < warm_up:
            misread = _misread(student, deck, session, plan.sources * plan.drives)
            session.step(misread, read=misread.detach())
            if session.steps == warm_up:
                session.warm_up()
            continue
        # A lesson is about the deformation, which a retoucher leaves as it is.
        lesson = dense if session.steps % LESSON_STEPS == 0 and not plan.retouch else None
        pairs = session.fetch(partial(_draw, deck, plan, lesson))
        with torch.autocast(device.type, torch.bfloat16):
            rendering, read = student(pairs.sources, pairs.heard, size_px, retouched=plan.retouch)
        if plan.retouch:
            pairs = registered(pairs, rendering.deformation.mixed)
        verdict = criticism(rendering, read, pairs)
        further = _misread(student, deck, session, plan.readings) if plan.readings and not plan.keeps_motion else 0.0
        session.step(verdict.total + plan.teacher * further, **verdict.figures)
        if session.steps % SHEET_STEPS == 1:
            sources = pairs.sources.repeat_interleave(len(pairs.driving) // len(pairs.sources), 0)
            side = rendering.frame.shape[-1]
            seen = (resize(part, side, side) for part in (sources, pairs.heard, pairs.driving))
            save_sheet(out / "stage1.png", *seen, rendering.warped, rendering.frame)
    session.save()
    return session.path


def _side(plan: Plan, preset: Preset) -> int:
    """The side in px at which the renderer renders."""
    size_px = plan.size_px or preset.autoencoder.render_px
    if plan.retouch and size_px >= preset.size_px and preset.autoencoder.retouch_widths:
        raise AskedWrongError(f"at {size_px} px there is nothing to retouch: render at less than {preset.size_px}")
    return size_px


def _keep(student: Student, session: Session, plan: Plan, deck: Deck) -> None:
    """Leave alone what the plan keeps, as it is in the averages: stage 2 was trained on those."""
    if not session.steps and not plan.start_from:
        raise AskedWrongError("there is no trained motion to keep: resume, or start from averages")
    averaged = cast("Student", session.average.network)
    if plan.retouch:
        if plan.formerly:
            _carry_over(averaged, plan.formerly, session, deck)
        _prepare(averaged, session, deck)
    student.load_state_dict(averaged.state_dict())
    network = student.autoencoder
    if network.retoucher is not None and plan.retouch:
        # Running statistics are kept as well.
        student.eval().requires_grad_(requires_grad=False)
        network.retoucher.requires_grad_(requires_grad=True)
        network.retoucher.places.requires_grad_(requires_grad=False)
    else:
        network.motion_encoder.requires_grad_(requires_grad=False)
        network.appearance_extractor.requires_grad_(requires_grad=False)


def _prepare(averaged: Student, session: Session, deck: Deck) -> None:
    """Tell a retoucher that has learnt nothing yet what the geometry head reads, and where mouths and eyes are.

    Raises:
        AskedWrongError: there is no retoucher.
    """
    retoucher = averaged.autoencoder.retoucher
    if retoucher is None:
        raise AskedWrongError("this preset has no retoucher: train its renderer, or choose another preset")
    if retoucher.untouched:
        retoucher.begin_with(averaged.geometry_head.weight)
        fit_places(averaged.autoencoder, deck)
        session.average.hurry()
        session.warm_up()


def _carry_over(averaged: Student, formerly: Path, session: Session, deck: Deck) -> None:
    """Go on with another run's retoucher, unless this run resumes one of its own."""
    retoucher = averaged.autoencoder.retoucher
    if session.steps and retoucher is not None and not retoucher.untouched:
        Console().print(f"{formerly} is left aside: this run's own retoucher goes on", markup=False)
        return
    former = deepcopy(averaged)
    load_average(former, read_average(formerly)[0], fresh=HEADS)
    said = translate(averaged.autoencoder, former.autoencoder, deck)
    Console().print(f"these latents say {said:.0%} of what the retoucher heard before", markup=False)


def _misread(student: Student, deck: Deck, session: Session, count: int) -> Tensor:
    """How wrongly the motion encoder reads rig and landmarks off `count` frames of different clips."""
    pairs = session.fetch(partial(deck.draw, count, 1))
    with torch.autocast(deck.device.type, torch.bfloat16):
        read = student.read(pairs.heard)
    return misreading(read, pairs)


def _draw(deck: Deck, plan: Plan, dense: DensePairs | None) -> Pairs:
    if dense is None:
        return deck.draw(plan.sources, plan.drives, TELLING if plan.retouch else 1)
    return deck.lesson(dense.draw(plan.sources * plan.drives, deck.device))
