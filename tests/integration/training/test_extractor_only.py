"""Training of the articulation extractor alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tests.unit.training.conftest import SMALL
from torch import nn

from dubline.models.stage2.audio_encoder import LocalExtractor
from dubline.models.stage2.diffusion import Diffusion
from dubline.training.stage1.supervised_autoencoder import SupervisedAutoencoder
from dubline.training.stage2 import train as stage2
from dubline.training.stage2.extractor_loss import DISTANCE_WEIGHT, ExtractorLoss
from dubline.training.stage2.recipe import Recipe
from dubline.training.stage2.spoken_gap_head import SpokenGapHead
from dubline.training.stage2.windows import Batch

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.training.corpus import Clip

PARAMS = SMALL.diffusion


def test_nothing_but_the_extractor_changes(clips: list[Clip], tmp_path: Path) -> None:
    torch.manual_seed(0)
    before = Diffusion(SMALL).state_dict()
    start = tmp_path / "start.pt"
    torch.save({"average": before, "steps": 5}, start)
    model = SupervisedAutoencoder(SMALL.autoencoder, 2)
    torch.save({"average": model.state_dict(), "steps": 0}, tmp_path / "stage1.pt")
    recipe = Recipe(batch=4, variants=0, steps=2, start_from=start, extractor_only=True)
    after = torch.load(stage2.train(clips, SMALL, tmp_path, recipe), weights_only=True)["network"]
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed == {key for key in before if key.startswith("articulation_extractor.")}


def test_the_distance_to_the_former_output_costs() -> None:
    torch.manual_seed(0)
    extractor, gap_head = LocalExtractor(PARAMS), SpokenGapHead(PARAMS.audio_width, torch.device("cpu"))
    nn.init.zeros_(gap_head.head.weight)
    loss = ExtractorLoss(extractor, gap_head, torch.zeros(PARAMS.whitened))
    slices = torch.randn(2, 4 * (2 * PARAMS.margin + PARAMS.previous + PARAMS.window), 80)
    none = torch.zeros(2, 1)
    batch = Batch(torch.randn(2, PARAMS.window, PARAMS.whitened), slices, none, none, none, none, none)
    assert loss(batch).item() < 1e-9
    with torch.no_grad():
        extractor.norm.bias += 0.5
    assert loss(batch).item() == pytest.approx(0.25 * DISTANCE_WEIGHT, rel=1e-3)
