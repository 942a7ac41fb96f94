"""Training of a part of stage 1: frozen parameters, and the initial weights of the mouth-eye refiner."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, cast

from rich.console import Console

from dubline.training.checkpoint import load_average, read_average
from dubline.training.cli_errors import UsageError
from dubline.training.session import HEADS
from dubline.training.stage1.face_regions import fit_face_regions
from dubline.training.stage1.latent_alignment import align_refiner

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.training.session import Session
    from dubline.training.stage1.data.pairs import PairSampler
    from dubline.training.stage1.recipe import Recipe
    from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder


def freeze(model: SupervisedAutoencoder, session: Session, recipe: Recipe, sampler: PairSampler) -> None:
    """Freeze what the recipe keeps, at its averaged values: stage 2 was trained on those.

    Raises:
        UsageError: there are no trained weights to keep, or there is no mouth-eye refiner to train.
    """
    if not session.steps and not recipe.start_from:
        raise UsageError("there is no trained motion to keep: resume, or start from averages")
    averaged = cast("SupervisedAutoencoder", session.average.network)
    if recipe.refine_mouth_eyes:
        if recipe.former:
            _adapt_refiner(averaged, recipe.former, session, sampler)
        _initialise_refiner(averaged, session, sampler)
    model.load_state_dict(averaged.state_dict())
    network = model.autoencoder
    if network.mouth_eye_refiner is not None and recipe.refine_mouth_eyes:
        # Evaluation mode keeps the running statistics as well.
        model.eval().requires_grad_(requires_grad=False)
        network.mouth_eye_refiner.requires_grad_(requires_grad=True)
        network.mouth_eye_refiner.face_regions.requires_grad_(requires_grad=False)
    else:
        network.motion_encoder.requires_grad_(requires_grad=False)
        network.appearance_extractor.requires_grad_(requires_grad=False)


def _initialise_refiner(averaged: SupervisedAutoencoder, session: Session, sampler: PairSampler) -> None:
    """Initialise an untrained mouth-eye refiner with the geometry head and fitted face regions."""
    mouth_eye_refiner = averaged.autoencoder.mouth_eye_refiner
    if mouth_eye_refiner is None:
        raise UsageError("this preset has no mouth-eye refiner: train its renderer, or choose another preset")
    if mouth_eye_refiner.is_untrained:
        mouth_eye_refiner.init_readings(averaged.geometry_head.weight)
        fit_face_regions(averaged.autoencoder, sampler)
        session.average.reset()
        session.restart_warm_up()


def _adapt_refiner(averaged: SupervisedAutoencoder, path: Path, session: Session, sampler: PairSampler) -> None:
    """Adapt the mouth-eye refiner of another run, unless this run resumes a trained one of its own."""
    mouth_eye_refiner = averaged.autoencoder.mouth_eye_refiner
    if session.steps and mouth_eye_refiner is not None and not mouth_eye_refiner.is_untrained:
        Console().print(f"{path} is ignored: this run resumes its own mouth-eye refiner", markup=False)
        return
    former = deepcopy(averaged)
    load_average(former, read_average(path)[0], optional=HEADS)
    explained = align_refiner(averaged.autoencoder, former.autoencoder, sampler)
    Console().print(f"these latents explain {explained:.0%} of the mouth-eye refiner's former inputs", markup=False)
