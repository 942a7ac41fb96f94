"""Weights that were released before a network got further inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from dubline.models import weights
from dubline.models.presets import BASE
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.weights import WIDENED, WeightsError, load_networks, save_networks, widened
from dubline.training.checkpoint import load_average, read_average
from dubline.training.cli_errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
#: Weights with more inputs, and weights and biases with more outputs, than older ones have.
KEY, WEIGHT, BIAS = (f"autoencoder.{name}" for name in WIDENED)


def save_cut(folder: Path, cut: tuple[slice, ...], monkeypatch: pytest.MonkeyPatch, key: str = KEY) -> torch.Tensor:
    """Save the released BASE with a part of a widened tensor; return all of it."""
    networks, tensors_of = load_networks("base", CPU), weights._tensors
    whole = tensors_of(networks)[key].clone()
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_tensors", lambda given: tensors_of(given) | {key: whole[cut].contiguous()})
        save_networks(networks, folder)
    return whole


def test_older_weights_load_with_0_for_inputs_that_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = save_cut(tmp_path, (slice(None), slice(40)), monkeypatch)
    loaded = weights._tensors(load_networks("base", CPU, tmp_path))[KEY]
    assert loaded[:, :40].equal(whole[:, :40])
    assert not loaded[:, 40:].any()
    network = Autoencoder(BASE.autoencoder)
    load_average(network, read_average(tmp_path / "base")[0], prefix="autoencoder.")
    assert network.state_dict()[KEY.removeprefix("autoencoder.")].equal(loaded.float())


@pytest.mark.parametrize("key", [WEIGHT, BIAS])
def test_older_weights_load_with_0_for_outputs_that_they_lack(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = save_cut(tmp_path, (slice(16),), monkeypatch, key)
    loaded = weights._tensors(load_networks("base", CPU, tmp_path))[key]
    assert loaded[:16].equal(whole[:16])
    assert not loaded[16:].any()
    assert len(loaded) == 24


def test_weights_of_other_filters_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_cut(tmp_path, (slice(16), slice(40), slice(1)), monkeypatch)
    with pytest.raises(WeightsError, match=r"input_block\.0\.weight \[16, 40, 1, 3\]"):
        load_networks("base", CPU, tmp_path)
    with pytest.raises(UsageError, match="another network"):
        load_average(Autoencoder(BASE.autoencoder), read_average(tmp_path / "base")[0], prefix="autoencoder.")


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (7, 4, 3, 3), (8, 5, 3, 3), (9, 3, 3, 3), (8, 4, 1, 1), (8, 4, 3)])
def test_no_other_tensor_is_changed(shape: tuple[int, ...]) -> None:
    tensor, present = torch.ones(shape), torch.Size((8, 4, 3, 3))
    assert widened("frame_decoder.weight", tensor, present) is tensor
    changed = widened(KEY, tensor, present)
    assert (changed is tensor) == (shape not in ((8, 3, 3, 3), (7, 4, 3, 3)))
