"""Parameters that a stage 2 state was trained with, saved beside its weights."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import torch

from dubline.models.presets import DiffusionParams
from dubline.models.stage2.diffusion import Diffusion
from dubline.training.checkpoint import read_average
from dubline.training.cli_errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.models.presets import Preset

#: Parameters that may change between training and use.
FREE: Final = ("steps", "guidance", "dropout")
STAGE1: Final = "stage1"


class TrainingParams:
    """The network's parameters and the hash of the stage 1 whose latents it was trained on."""

    def __init__(self, params: DiffusionParams, stage1: str) -> None:
        self.params, self.stage1 = params, stage1

    def state_dict(self) -> dict[str, Any]:
        """Return all parameters of the network and its prediction as plain values."""
        params = {key: value for key, value in dataclasses.asdict(self.params).items() if key not in FREE}
        return {**params, STAGE1: self.stage1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compare with the parameters of a checkpoint.

        Raises:
            UsageError: they differ.
        """
        # Exported averages have no such entries.
        own = self.state_dict()
        state = {**own, **state}
        if state[STAGE1] != self.stage1:
            raise UsageError(
                "stage 1's motion latents have changed; this stage 2 is incompatible and must be retrained"
            )
        if other := [key for key in state if state[key] != own.get(key)]:
            trained = ", ".join(f"{key}={state[key]}" for key in other)
            raise UsageError(f"the checkpoint was trained with {trained}: give the same options, or another --out")


def load_stage2(preset: Preset, path: Path) -> Diffusion:
    """Load the averages of a stage 2 state into a network with the parameters that they were trained with.

    Raises:
        FileNotFoundError: there is no such state.
        UsageError: it has no averages.
    """
    tensors, _ = read_average(path)
    diffusion = Diffusion(dataclasses.replace(preset, diffusion=diffusion_params_of(preset, path)))
    diffusion.load_state_dict({key.removeprefix("diffusion."): tensor for key, tensor in tensors.items()})
    return diffusion.eval().requires_grad_(requires_grad=False)


def read_training_params(path: Path) -> dict[str, Any]:
    """Read the saved `TrainingParams` of a state; empty for exported averages.

    Raises:
        UsageError: the state is of a version with other parameters.
    """
    if path.suffix != ".pt":
        return {}
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    params: dict[str, Any] = state.get("companions", {}).get("params", {})
    known = {STAGE1, *(field.name for field in dataclasses.fields(DiffusionParams))}
    if unknown := sorted(params.keys() - known):
        raise UsageError(
            f"{path} is of an earlier version ({', '.join(unknown)}): train again, --start-from the released weights"
        )
    return params


def diffusion_params_of(preset: Preset, path: Path) -> DiffusionParams:
    """Return the parameters that a state was trained with; the preset's for exported averages."""
    params = {key: value for key, value in read_training_params(path).items() if key != STAGE1}
    return dataclasses.replace(preset.diffusion, **params)
