"""Each operation that stage 1 calls is the same in ncnn as in torch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as everywhere
from torch import Tensor, nn

from dubline.models.cpu.autoencoder import recorded
from dubline.models.cpu.graph import UnsupportedOperationError, record
from dubline.models.cpu.pool import ProcessPool
from dubline.models.cpu.shapes import MOST_FRAMES
from dubline.models.layers import ConvBlock, Modulation, ResidualBlock, upsample


class Network(nn.Module):
    """All translated operations, with channels that do not fill ncnn's packs of eight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.activation = nn.PReLU(10)
        self.first = ConvBlock(22, 24)
        self.down = ConvBlock(24, 32, stride=2)
        self.motion = Modulation(7, 32)
        self.body = ResidualBlock(32)
        self.up = nn.Conv2d(32, 24, 1)
        self.gate = nn.Conv2d(24, 1, 3, padding=1)
        self.last = nn.Conv2d(24, 20, 3, padding=1)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3)

    def core(self, features: Tensor, picture: Tensor, vector: Tensor) -> tuple[Tensor, ...]:
        fine = self.first(torch.cat([self.activation(features), F.pixel_unshuffle(picture, 2)], dim=1))
        coarse = self.body(self.motion(self.down(fine), vector))
        fine = fine + upsample(self.up(coarse))
        fine = self.gate(fine).sigmoid() * fine
        return F.pixel_shuffle(self.last(fine), 2), coarse


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


def inputs(batch: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(batch, 10, 12, 20), (batch, 3, 24, 40), (batch, 7)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.fixture(scope="module")
def pool(network: Network) -> ProcessPool:
    return ProcessPool([recorded(network.core, inputs(1))[0]])


@torch.no_grad()
def test_every_translated_operation_equals_torch(network: Network, pool: ProcessPool) -> None:
    given = inputs(3)
    for found, expected in zip(pool.compute(0, given), network.core(*given), strict=True):
        assert found.shape == expected.shape
        assert expected.abs().max() > 1
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_only_convolutions_of_few_outputs_are_computed_directly(network: Network) -> None:
    lines = recorded(network.core, inputs(1))[0].text.splitlines()
    direct = [line.split() for line in lines if line.startswith("Convolution") and "31=96" in line]
    assert [line.count("0=1") for line in direct] == [1]
    assert sum(line.startswith("Convolution") for line in lines) > 5


def test_bytes_depend_on_no_batch_size(pool: ProcessPool) -> None:
    given = inputs(2 * MOST_FRAMES + 3)
    whole = pool.compute(0, given)
    for frame in (0, 5, 2 * MOST_FRAMES + 2):
        alone = pool.compute(0, [tensor[frame : frame + 1] for tensor in given])
        assert all(torch.equal(part[0], result[frame]) for part, result in zip(alone, whole, strict=True))


def test_an_operation_without_a_translation_is_refused() -> None:
    with pytest.raises(UnsupportedOperationError, match="cosh"):
        record(lambda tensor: (tensor.cosh(),), [torch.zeros(1, 8, 4, 4)])
