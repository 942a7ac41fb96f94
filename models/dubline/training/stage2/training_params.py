"""A trained stage 2 as its checkpoint remembers it: not only weights, also the switches that it was trained with."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Final

import torch

from dubline.models.stage2.diffusion import Diffusion
from dubline.training.checkpoint import read_average
from dubline.training.cli_errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.models.presets import DiffusionParams, Preset

#: May change between training and use.
FREE: Final = ("steps", "guidance", "dropout")
STAGE1: Final = "stage1"


class TrainingParams:
    """What a checkpoint was trained with: the network's parameters and, by its hash, the stage 1 that it speaks in."""

    def __init__(self, params: DiffusionParams, stage1: str) -> None:
        self.params, self.stage1 = params, stage1

    def state_dict(self) -> dict[str, Any]:
        """Every parameter that shapes the network or what it predicts, as plain values."""
        params = {key: value for key, value in dataclasses.asdict(self.params).items() if key not in FREE}
        return {**params, STAGE1: self.stage1}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Compare with those of a checkpoint.

        Raises:
            UsageError: they are others.
        """
        # States of before this was remembered, and averages that have travelled, say less.
        own = self.state_dict()
        state = {**own, **state}
        if state[STAGE1] != self.stage1:
            raise UsageError(
                "stage 1's motion latents have changed since, and this stage 2 speaks in the old ones: train it anew"
            )
        if other := [key for key in state if state[key] != own.get(key)]:
            trained = ", ".join(f"{key}={state[key]}" for key in other)
            raise UsageError(f"the checkpoint was trained with {trained}: give the same switches, or another out")


def load_stage2(preset: Preset, path: Path) -> Diffusion:
    """The averages of a stage 2 state, built with the parameters that it was trained with.

    Raises:
        FileNotFoundError: there is no such state.
        UsageError: it holds no averages.
    """
    tensors, _ = read_average(path)
    diffusion = Diffusion(dataclasses.replace(preset, diffusion=diffusion_params_of(preset, path)))
    diffusion.load_state_dict({key.removeprefix("diffusion."): tensor for key, tensor in tensors.items()})
    return diffusion.eval().requires_grad_(requires_grad=False)


def read_training_params(path: Path) -> dict[str, Any]:
    """What a state remembers of `TrainingParams`; nothing if it is older, or averages that have travelled."""
    if path.suffix != ".pt":
        return {}
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    remembered: dict[str, Any] = state.get("companions", {}).get("params", {})
    return remembered


def diffusion_params_of(preset: Preset, path: Path) -> DiffusionParams:
    """The parameters that a state was trained with; the preset's if it says nothing."""
    params = {key: value for key, value in read_training_params(path).items() if key != STAGE1}
    return dataclasses.replace(preset.diffusion, **params)
