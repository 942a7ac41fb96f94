"""Training runs of the part for mouths: what they change, what they write, how they continue."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from tests.unit.training.conftest import NARROW, REFINED

from dubline.models.stage1.autoencoder import Autoencoder
from dubline.training import session
from dubline.training.checkpoint import load_average, read_average, write_average
from dubline.training.cli_errors import UsageError
from dubline.training.mouth import train as mouth
from dubline.training.mouth.pool import SamplePool, fill_pool
from dubline.training.mouth.recipe import Recipe
from dubline.training.stage1 import round_trips

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.models.stage1.mouth_eye_refiner import MouthEyeRefiner, RegionRefiner
    from dubline.training.corpus import Clip

PART = "autoencoder.mouth_eye_refiner.boxes.mouth."
RECIPE = Recipe(steps=2, samples=12, perceptual=0)


def write_stage1(path: Path, *, trained: bool = True) -> Path:
    """Write averages of stage 1 whose mouth-eye refiner is trained or not."""
    torch.manual_seed(0)
    network = Autoencoder(REFINED.autoencoder)
    for box in cast("MouthEyeRefiner", network.mouth_eye_refiner).boxes.values():
        if trained:
            torch.nn.init.normal_(cast("RegionRefiner", box).output[-1].weight, std=0.1)
    (written,) = write_average(network.state_dict(), path, prefix="autoencoder.", steps=7)
    return written


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stage1(tmp_path_factory.mktemp("start") / "stage1.safetensors")


@pytest.fixture
def mixed(clips: list[Clip], monkeypatch: pytest.MonkeyPatch) -> list[Clip]:
    """A rendered clip, a recording, and a picture."""
    monkeypatch.setattr(round_trips, "FRAMES", 48)
    recording, picture = (replace(clip, geometry=None, aperture_mm=None) for clip in clips[1:])
    assert picture.landmarks is not None
    return [clips[0], recording, replace(picture, frames=picture.frames[:1], landmarks=picture.landmarks[:1])]


def state_of(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)
    return state


def test_everything_but_the_part_for_mouths_stays_bit_for_bit(mixed: list[Clip], start: Path, tmp_path: Path) -> None:
    before, _ = read_average(start)
    state = state_of(mouth.train(mixed, REFINED, tmp_path, replace(RECIPE, start_from=start)))
    for kind in ("network", "average"):
        after = state[kind]
        assert after.keys() == before.keys()
        changed = {key for key in before if not torch.equal(after[key], before[key])}
        assert changed
        assert all(key.startswith(PART) for key in changed)
    assert {"psnr", "discriminator", "adversarial", "ratio"} <= state["figures"].keys()
    assert {"stage1.png", "stage1.jsonl"} <= {file.name for file in tmp_path.iterdir()}


def test_a_run_is_released_like_one_of_stage_1(clips: list[Clip], start: Path, tmp_path: Path) -> None:
    tensors, steps = read_average(mouth.train(clips, REFINED, tmp_path, replace(RECIPE, start_from=start)))
    assert steps == 2
    network = Autoencoder(REFINED.autoencoder)
    assert load_average(network, tensors, prefix="autoencoder.") == []


def test_resuming_continues_network_adversary_and_balance(clips: list[Clip], start: Path, tmp_path: Path) -> None:
    path = mouth.train(clips, REFINED, tmp_path, replace(RECIPE, start_from=start))
    first = state_of(path)
    mouth.train(clips, REFINED, tmp_path, replace(RECIPE, resume=True, steps=1, start_from=start))
    second = state_of(path)
    assert second["steps"] == 3
    assert second["companions"]["adversary"]["steps"] == second["companions"]["balance"]["steps"] == 3
    assert second["companions"]["balance"]["ratio"] == first["companions"]["balance"]["ratio"]
    parts = [key for key in first["network"] if key.startswith(PART)]
    # One step of Adam; other weights or a new start would be further away.
    moved = [(second["network"][key] - first["network"][key]).abs().max().item() for key in parts]
    assert 0 < max(moved) < 2 * mouth.LEARNING_RATE


def test_the_time_of_the_samples_does_not_count(
    clips: list[Clip], start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(session, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def fill(*args: Any) -> SamplePool:
        clock[0] += 600
        return fill_pool(*args)

    monkeypatch.setattr(mouth, "fill_pool", fill)
    run = mouth.prepare(clips, REFINED, tmp_path, replace(RECIPE, start_from=start, minutes=5, steps=None))
    assert run.session.progress == 0


def test_weights_and_clips_that_do_not_fit_are_refused(clips: list[Clip], start: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, start_from=start)
    with pytest.raises(UsageError, match="resume, or start from averages"):
        mouth.train(clips, REFINED, tmp_path, RECIPE)
    with pytest.raises(UsageError, match="this preset has no mouth-eye refiner"):
        mouth.train(clips, NARROW, tmp_path, recipe)
    untrained = write_stage1(tmp_path / "untrained.safetensors", trained=False)
    with pytest.raises(UsageError, match="no trained mouth-eye refiner"):
        mouth.train(clips, REFINED, tmp_path, replace(recipe, start_from=untrained))
    pictures = [replace(clip, frames=clip.frames[:1], geometry=None, aperture_mm=None) for clip in clips]
    with pytest.raises(UsageError, match="pictures need rendered clips beside them"):
        mouth.train(pictures, REFINED, tmp_path, recipe)
