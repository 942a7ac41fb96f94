"""Parts of the networks that are switched off: what changes, and that nothing stays changed."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from rich.console import Console
from tests.integration.training.test_evaluation import write_clip
from tests.unit.training.conftest import SMALL
from torch import nn

from dubline.models.motion.readout import LinearReadout
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion
from dubline.models.weights import Networks
from dubline.training import evaluate
from dubline.training.evaluation.parts.dependence import WHOLE, stage1_dependence, stage2_dependence, tables
from dubline.training.evaluation.parts.switches import (
    present,
    stage1_switches,
    switched_off,
    without_condition,
)
from dubline.training.evaluation.scores.picture import MAX_PSNR_DB

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.training.corpus import Clip


@pytest.fixture
def networks() -> Networks:
    torch.manual_seed(0)
    autoencoder, diffusion = Autoencoder(SMALL.autoencoder).eval(), Diffusion(SMALL).eval()
    for parameter in (*autoencoder.deviation_decoder.head.parameters(), *diffusion.denoiser.parameters()):
        nn.init.normal_(parameter, std=0.2)
    diffusion.whitening.basis.copy_(torch.eye(*diffusion.whitening.basis.shape))
    return Networks(SMALL, autoencoder, diffusion, LinearReadout(SMALL.diffusion.whitened), "0" * 64)


def test_a_dead_part_changes_no_pixel_and_a_live_one_does(networks: Networks, clips: list[Clip]) -> None:
    decoder = networks.autoencoder.deviation_decoder
    with torch.no_grad():
        shares = slice(2 * decoder.regions, (2 + decoder.planes) * decoder.regions)
        decoder.head.weight[shares] = 0
        decoder.head.bias[shares] = 0
    rows = stage1_dependence(networks, clips[:1])
    assert rows["region shares uniform"]["change_db"] == MAX_PSNR_DB
    assert rows["region shares uniform"]["brings_db"] == 0
    assert rows["plane masks open"]["change_db"] < MAX_PSNR_DB


def test_a_preset_without_a_refiner_has_no_row_for_it(networks: Networks) -> None:
    switches = stage1_switches(networks.autoencoder.deviation_decoder)
    found = present(networks.autoencoder, switches)
    assert found.keys() == switches.keys() - {"no deformation refiner", "no mouth-eye refiner"}


def test_a_switch_is_removed_after_an_error(networks: Networks) -> None:
    module = networks.autoencoder.deviation_decoder.head
    with (
        pytest.raises(ZeroDivisionError),
        switched_off(networks.autoencoder, "deviation_decoder.head", lambda *_: 1 / 0),
    ):
        module(torch.zeros(1, module.in_channels, 4, 4))
    assert not module._forward_hooks
    with without_condition(networks.diffusion.denoiser, ("appearance",)):
        assert networks.diffusion.denoiser._forward_pre_hooks
    assert not networks.diffusion.denoiser._forward_pre_hooks


def test_motion_without_speech_changes_and_whole_motion_does_not(networks: Networks, clips: list[Clip]) -> None:
    rows = stage2_dependence(networks, clips[:1])
    assert rows[WHOLE]["change_percent"] == 0
    assert rows["no speech"]["change_percent"] > 1
    assert rows["no source latent"]["change_percent"] > 1
    assert [len(table.columns) for table in tables({"stage 1": {}, "stage 2": rows})] == [3, 4]


def test_the_command_prints_the_parts_and_scores_nothing(
    networks: Networks,
    clips: list[Clip],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    write_clip(tmp_path, clips[0])
    monkeypatch.setattr(evaluate, "load_networks", lambda *_: networks)
    monkeypatch.setattr(evaluate, "Console", lambda: Console(file=sys.stdout, width=80))
    monkeypatch.setattr(sys, "argv", ["evaluate", str(tmp_path), "--parts", "--out", str(tmp_path / "out")])
    evaluate.main()
    printed = capsys.readouterr().out
    assert "region shares uniform" in printed
    assert "psnr=" not in printed
    written = json.loads((tmp_path / "out" / "parts.json").read_text())
    assert np.isfinite(written["stage 2"]["no speech"]["change_percent"])
