"""Weights load strictly, and only if they are the released ones."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from dubline.models.presets import PRESETS
from dubline.models.weights import RELEASED, WeightsError, load_networks


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_released_with_a_manifest_and_a_model_card(name: str) -> None:
    networks = load_networks(name, torch.device("cpu"))
    manifest = json.loads((RELEASED / name / "manifest.json").read_text())
    assert networks.sha256 == manifest["sha256"]
    assert (RELEASED / name / "MODEL_CARD.md").exists()
    assert (RELEASED / name / "weights.safetensors").stat().st_size < 10e6


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    shutil.copytree(RELEASED / "tiny", tmp_path / "tiny")
    path = tmp_path / "tiny" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="not the file that its manifest names"):
        load_networks("tiny", torch.device("cpu"), tmp_path)


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="tiny"):
        load_networks("huge", torch.device("cpu"))
