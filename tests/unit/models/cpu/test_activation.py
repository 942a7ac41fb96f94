"""What LLVM compiles equals group norm and SiLU of torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere
from torch import nn

from dubline.models.cpu import activation
from dubline.models.cpu.autoencoder import recorded
from dubline.models.layers import ConvBlock

#: Channels, height and width: pixels that no number of sums divides.
SHAPE = (48, 5, 7)
GROUPS = 8


def packed(features: np.ndarray, lanes: int) -> np.ndarray:
    """Arrange (C, H, W) as (blocks, pixels, lanes)."""
    return features.reshape(len(features) // lanes, lanes, -1).transpose(0, 2, 1).copy()


def unpacked(blocks: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(blocks.transpose(0, 2, 1).reshape(SHAPE))


def sizes(blocks: np.ndarray) -> tuple[int, int, int, int]:
    """Return address, blocks, pixels and numbers from block to block."""
    count, pixels, lanes = blocks.shape
    return blocks.ctypes.data, count, pixels, pixels * lanes


@pytest.mark.parametrize("lanes", [1, 4, 8, 16])
def test_both_equal_torch_for_every_packing(lanes: int, noise: np.random.Generator) -> None:
    # Means of channels are ten times their deviation.
    features = (3 * noise.normal(size=SHAPE) + 30 * noise.normal(size=(SHAPE[0], 1, 1))).astype(np.float32)
    weight, bias = noise.normal(size=(2, SHAPE[0])).astype(np.float32)
    whole = torch.from_numpy(features).double()
    blocks = packed(features, lanes)
    activation.silu(lanes)(*sizes(blocks))
    torch.testing.assert_close(unpacked(blocks).double(), F.silu(whole), atol=1e-6, rtol=1e-6)

    blocks, arrays = packed(features, lanes), np.empty((2, SHAPE[0]), np.float32)
    addresses = [each.ctypes.data for each in (weight, bias, *arrays)]
    activation.group_norm_silu(lanes)(*sizes(blocks), *addresses, GROUPS, 1e-5)
    normalised = F.group_norm(whole[None], GROUPS, *(torch.from_numpy(each).double() for each in (weight, bias)))[0]
    torch.testing.assert_close(unpacked(blocks).double(), F.silu(normalised), atol=5e-6, rtol=5e-6)


def test_the_largest_numbers_stay_finite() -> None:
    values = np.array([-1e30, -1e4, -88, -0.0, 0, 88, 1e4, 1e30], np.float32)
    activation.silu(8)(values.ctypes.data, 1, 1, 8)
    assert values.tolist() == pytest.approx([0, 0, 0, 0, 0, 88, 1e4, 1e30], rel=1e-6, abs=1e-5)


def test_group_norm_is_a_layer_of_its_own_where_others_read_it() -> None:
    block = ConvBlock(8, 16)
    features = torch.randn(1, 8, 4, 4)

    def layers(*results: int) -> list[str]:
        def network(one: torch.Tensor) -> tuple[torch.Tensor, ...]:
            normalised = block[1](block[0](one))
            parts = nn.functional.silu(normalised), normalised
            return tuple(parts[number] for number in results)

        return [line.split()[0] for line in recorded(network, [features])[0].text.splitlines()[2:]]

    assert layers(0) == ["Input", "Convolution", "GroupNormSiLU"]
    assert layers(0, 1) == ["Input", "Convolution", "GroupNorm", "Split", "SiLU"]
