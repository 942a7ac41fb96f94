"""Training of both stages, from clips to weights that load."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from dubline.models.motion.readout import LinearReadout
from dubline.models.presets import TINY
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import Networks, load_networks, save_networks
from dubline.training import checkpoint
from dubline.training.stage1 import train as stage1
from dubline.training.stage1.recipe import Recipe as Stage1Recipe
from dubline.training.stage2 import train as stage2
from dubline.training.stage2.recipe import Recipe as Stage2Recipe

if TYPE_CHECKING:
    from dubline.training.corpus import Clip


def test_both_stages_train_and_give_loadable_weights(clips: list[Clip], tmp_path: Path) -> None:
    stage1.train(clips, TINY, tmp_path, Stage1Recipe(steps=1, sources=1, drives=1))
    stage2.train(clips, TINY, tmp_path, Stage2Recipe(steps=1, batch=2, variants=1))
    autoencoder, _ = stage2.load_stage1(TINY, tmp_path)
    diffusion = Diffusion(TINY)
    diffusion.load_state_dict(torch.load(tmp_path / "stage2.pt", weights_only=True)["average"])
    save_networks(Networks(TINY, autoencoder, diffusion, LinearReadout(TINY.diffusion.whitened), sha256=""), tmp_path)
    networks = load_networks("tiny", torch.device("cpu"), tmp_path)
    assert (tmp_path / "stage1.png").exists()
    assert all(parameter.isfinite().all() for parameter in networks.diffusion.parameters())


def test_the_inverse_of_whitening_restores_motion() -> None:
    torch.manual_seed(0)
    whitening = Diffusion(TINY).whitening
    basis = torch.randn(8, TINY.autoencoder.motion)
    source = torch.randn(TINY.autoencoder.motion)
    motion = source + torch.randn(500, 8) @ basis
    whitening.fit(motion - source)
    whitened = whitening(motion, source)
    torch.testing.assert_close(whitening.invert(whitened, source), motion, atol=1e-2, rtol=1e-3)
    assert 0.9 < whitened[:, :8].std() < 1.1


@pytest.mark.parametrize(
    "command",
    [
        ["stage1/__main__.py", "nowhere"],
        ["stage2/__main__.py", "nowhere"],
        ["stage2/extractor/__main__.py", "nowhere", "--speech", "nowhere", "--preset", "tiny"],
        ["footage/__main__.py", "nowhere", "--out", "o"],
        ["release.py", "nowhere"],
    ],
    ids=lambda command: Path(command[0]).parts[0],
)
def test_a_missing_folder_is_reported_in_one_line(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(checkpoint.__file__).parent / command[0]), run_name="__main__")
    message = str(ended.value.code)
    assert "nowhere" in message or "no " in message
    assert "\n" not in message
