"""Weights that were released before a network got further inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from dubline.models import weights
from dubline.models.presets import BASE
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.weights import WIDENED, WeightsError, load_networks, save_networks, with_all_inputs
from dubline.training.checkpoint import load_average, read_average
from dubline.training.cli_errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")
(KEY,) = (f"autoencoder.{name}" for name in WIDENED)


def save_cut(folder: Path, cut: tuple[slice, ...], monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Save the released BASE with a part of the widened convolution; return all of it."""
    networks, tensors_of = load_networks("base", CPU), weights._tensors
    whole = tensors_of(networks)[KEY].clone()
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_tensors", lambda given: tensors_of(given) | {KEY: whole[cut].contiguous()})
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


def test_weights_with_other_outputs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_cut(tmp_path, (slice(16), slice(40)), monkeypatch)
    with pytest.raises(WeightsError, match=r"input_block\.0\.weight \[16, 40, 3, 3\]"):
        load_networks("base", CPU, tmp_path)
    with pytest.raises(UsageError, match="another network"):
        load_average(Autoencoder(BASE.autoencoder), read_average(tmp_path / "base")[0], prefix="autoencoder.")


@pytest.mark.parametrize("shape", [(8, 3, 3, 3), (8, 5, 1, 1), (8, 5, 3), (8, 4, 3, 3)])
def test_no_other_tensor_is_changed(shape: tuple[int, ...]) -> None:
    tensor, present = torch.ones(shape), torch.Size((8, 4, 3, 3))
    assert with_all_inputs("frame_decoder.weight", tensor, present) is tensor
    changed = with_all_inputs(KEY, tensor, present)
    assert (changed is tensor) == (shape != (8, 3, 3, 3))
