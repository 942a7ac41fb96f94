"""Supervision heads fitted to a trained encoder."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from dubline.models.presets import PRESETS, TINY
from dubline.models.weights import RELEASED
from dubline.training.checkpoint import load_average, read_average
from dubline.training.session import HEADS
from dubline.training.stage1 import train as stage1
from dubline.training.stage1.data.pairs import PairSampler
from dubline.training.stage1.losses.objective import head_loss
from dubline.training.stage1.probe_fitting import fit_probes
from dubline.training.stage1.recipe import Recipe
from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.models.presets import Preset
    from dubline.training.corpus import Clip


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubline.training.stage1.probe_fitting.FRAMES", 120)


@pytest.fixture
def model() -> SupervisedAutoencoder:
    """Return a model with the released encoder."""
    model = SupervisedAutoencoder(TINY.autoencoder, geometry=2).eval()
    load_average(model, read_average(RELEASED / "tiny")[0], optional=HEADS)
    return model


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_released_weights_of_every_preset_start_stage_one(preset: Preset) -> None:
    model = SupervisedAutoencoder(preset.autoencoder, geometry=2)
    kept = load_average(model, read_average(RELEASED / preset.name)[0], optional=HEADS)
    assert {f"{key.partition('.')[0]}." for key in kept} == set(HEADS)


def test_fitting_lowers_the_head_loss_and_changes_the_heads_only(
    clips: list[Clip], model: SupervisedAutoencoder
) -> None:
    sampler = PairSampler(clips, torch.device("cpu"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    untrained = _head_loss(model, sampler)
    fit_probes(model, sampler)
    changed = {key.split(".")[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"geometry_head", "landmark_head"}
    assert _head_loss(model, sampler) < 0.5 * untrained


def test_a_head_that_is_not_requested_stays_unchanged(clips: list[Clip], model: SupervisedAutoencoder) -> None:
    before = model.geometry_head.weight.clone()
    fit_probes(model, PairSampler(clips, torch.device("cpu")), ["landmark_head."])
    assert torch.equal(model.geometry_head.weight, before)
    assert model.landmark_head.weight.any()


def test_without_labels_heads_stay_unchanged(clips: list[Clip], model: SupervisedAutoencoder) -> None:
    bare = [replace(clip, landmarks=None, geometry=None) for clip in clips]
    before = model.geometry_head.weight.clone()
    fit_probes(model, PairSampler(bare, torch.device("cpu")))
    assert torch.equal(model.geometry_head.weight, before)
    assert not model.landmark_head.weight.any()


def test_training_from_released_weights_starts_with_fitted_heads(clips: list[Clip], tmp_path: Path) -> None:
    recipe = Recipe(steps=1, sources=2, drives=1, perceptual=0, learning_rate=0, start_from=RELEASED / "tiny")
    state = torch.load(stage1.train(clips, TINY, tmp_path, recipe), weights_only=True)
    model, sampler = SupervisedAutoencoder(TINY.autoencoder, geometry=2).eval(), PairSampler(clips, torch.device("cpu"))
    for kind in ("network", "average"):
        model.load_state_dict(state[kind])
        fitted = _head_loss(model, sampler)
        torch.nn.init.zeros_(model.geometry_head.weight)
        assert fitted < 0.5 * _head_loss(model, sampler), kind


def _head_loss(model: SupervisedAutoencoder, sampler: PairSampler) -> float:
    sampler.seed(9)
    pairs = sampler.draw(24, 1)
    with torch.inference_mode():
        return float(head_loss(model.predict(pairs.augmented), pairs))
