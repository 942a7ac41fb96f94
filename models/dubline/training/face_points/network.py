"""The network of `framing.points` with torch: batch normalisation in training, none in the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from dubline.framing.points import SIDE_PX, STRIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

CHANNELS: Final = (3, 12, 24, 24, 48, 48, 64)
HIDDEN: Final = 64
NORM_EPS: Final = 1e-5
#: Two coordinates of five points, and the logits of both eyes, the mouth and the face.
OUTPUTS: Final = 14


class PointsNetwork(nn.Module):
    """(B, 3, 64, 64) in [0, 1] -> (B, 14)."""

    def __init__(self) -> None:
        super().__init__()
        pairs = zip(CHANNELS[:-1], CHANNELS[1:], STRIDES, strict=True)
        self.convolutions = nn.ModuleList(nn.Conv2d(i, o, 3, stride, 1, bias=False) for i, o, stride in pairs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, eps=NORM_EPS) for channels in CHANNELS[1:])
        last_px = SIDE_PX // int(np.prod(STRIDES))
        self.hidden = nn.Linear(CHANNELS[-1] * last_px**2, HIDDEN)
        self.output = nn.Linear(HIDDEN, OUTPUTS)

    def forward(self, pictures: Tensor) -> Tensor:
        """Compute coordinates and logits."""
        values = pictures * 2 - 1
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            values = torch.relu(norm(convolution(values)))
        result: Tensor = self.output(torch.relu(self.hidden(values.flatten(1))))
        return result

    def exported(self) -> dict[str, NDArray[np.float16]]:
        """Return the arrays of the file, with the normalisations folded into the convolutions."""
        arrays: dict[str, Tensor] = {}
        for number, (convolution, norm) in enumerate(zip(self.convolutions, self.norms, strict=True)):
            learned, kept = dict(norm.named_parameters()), dict(norm.named_buffers())
            scale = learned["weight"] / torch.sqrt(kept["running_var"] + NORM_EPS)
            arrays[f"conv{number}.weight"] = next(convolution.parameters()) * scale[:, None, None, None]
            arrays[f"conv{number}.bias"] = learned["bias"] - kept["running_mean"] * scale
        for name in ("hidden", "output"):
            layer = getattr(self, name)
            arrays[f"{name}.weight"], arrays[f"{name}.bias"] = layer.weight, layer.bias
        return {name: value.detach().cpu().numpy().astype(np.float16) for name, value in arrays.items()}
