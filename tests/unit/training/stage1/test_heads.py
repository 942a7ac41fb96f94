"""Heads: fitted to a trained encoder, so that weights without them can be trained on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from dubline.models.presets import TINY
from dubline.models.weights import RELEASED
from dubline.training.checkpoint import load_average, read_average
from dubline.training.session import HEADS
from dubline.training.stage1 import train as stage1
from dubline.training.stage1.data.pairs import Deck
from dubline.training.stage1.heads import fit_heads
from dubline.training.stage1.losses.objective import misreading
from dubline.training.stage1.student import Student

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.training.corpus import Clip


@pytest.fixture(autouse=True)
def few_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dubline.training.stage1.heads.FRAMES", 240)


@pytest.fixture
def student() -> Student:
    """With the encoder that is released."""
    student = Student(TINY.autoencoder, geometry=2).eval()
    load_average(student, read_average(RELEASED / "tiny")[0], fresh=HEADS)
    return student


def test_fitted_heads_read_rig_and_landmarks_and_nothing_else_changes(clips: list[Clip], student: Student) -> None:
    deck = Deck(clips, torch.device("cpu"))
    before = {key: value.clone() for key, value in student.state_dict().items()}
    misread = _misreading(student, deck)
    fit_heads(student, deck)
    changed = {key.split(".")[0] for key, value in student.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"geometry_head", "landmark_head"}
    assert _misreading(student, deck) < 0.5 * misread


def test_a_head_that_is_there_already_is_left_alone(clips: list[Clip], student: Student) -> None:
    before = student.geometry_head.weight.clone()
    fit_heads(student, Deck(clips, torch.device("cpu")), ["landmark_head."])
    assert torch.equal(student.geometry_head.weight, before)
    assert student.landmark_head.weight.any()


def test_without_labels_heads_stay_as_they_are(clips: list[Clip], student: Student) -> None:
    bare = [replace(clip, landmarks=None, geometry=None) for clip in clips]
    before = student.geometry_head.weight.clone()
    fit_heads(student, Deck(bare, torch.device("cpu")))
    assert torch.equal(student.geometry_head.weight, before)
    assert not student.landmark_head.weight.any()


def test_released_weights_begin_with_heads_that_read(clips: list[Clip], tmp_path: Path) -> None:
    plan = stage1.Plan(steps=1, sources=2, drives=1, perceptual=0, learning_rate=0, start_from=RELEASED / "tiny")
    state = torch.load(stage1.train(clips, TINY, tmp_path, plan), weights_only=True)
    student, deck = Student(TINY.autoencoder, geometry=2).eval(), Deck(clips, torch.device("cpu"))
    for kind in ("network", "average"):
        student.load_state_dict(state[kind])
        fitted = _misreading(student, deck)
        torch.nn.init.zeros_(student.geometry_head.weight)
        assert fitted < 0.5 * _misreading(student, deck), kind


def _misreading(student: Student, deck: Deck) -> float:
    deck.seed(9)
    pairs = deck.draw(48, 1)
    with torch.inference_mode():
        return float(misreading(student.read(pairs.heard), pairs))
