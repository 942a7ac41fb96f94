"""Rendering with ncnn shows what rendering with torch shows."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import TYPE_CHECKING

import pytest
import skimage.data
import torch
from torch import Tensor, nn

from dubline.models.cpu.autoencoder import compile_cores
from dubline.models.layers import WithCore
from dubline.models.presets import TINY
from dubline.models.stage1.autoencoder import Autoencoder, Source

if TYPE_CHECKING:
    from dubline.models.weights import Networks

#: A small network with all parts of BASE.
ALL_PARTS = dataclasses.replace(
    TINY.autoencoder,
    render_px=64,
    refines_deformation=True,
    decoder_bottleneck=32,
    mouth_eye_widths=(8, 16, 24),
    mouth_eye_motion=16,
)


def face(network: Autoencoder) -> tuple[Source, Tensor]:
    """Encode the astronaut of scikit-image, with motion around its own."""
    pixels = torch.from_numpy(skimage.data.astronaut()[20:212, 130:322].copy())
    source = network.encode_source(pixels.permute(2, 0, 1)[None].float() / 127.5 - 1)
    noise = torch.randn(4, source.motion.shape[1], generator=torch.Generator().manual_seed(0))
    return source, source.motion + 0.3 * source.motion.std() * noise


def psnr(found: Tensor, expected: Tensor) -> float:
    """Compute the PSNR of the worst of several pictures in [-1, 1], dB."""
    return -10 * math.log10((found - expected).div(2).square().mean((1, 2, 3)).max().item() + 1e-12)


def compiled(network: Autoencoder, threads: int = 1) -> Autoencoder:
    made = copy.deepcopy(network)
    compile_cores(made, threads)
    return made


@pytest.fixture(scope="module")
def untrained() -> Autoencoder:
    torch.manual_seed(0)
    network = Autoencoder(ALL_PARTS).eval()
    for module in network.modules():
        # Layers that are 0 at initialisation would hide what is before them.
        if isinstance(module, nn.Linear | nn.Conv2d) and module.weight.std() < 0.02:
            nn.init.normal_(module.weight, std=0.02)
    return network


@torch.inference_mode()
def test_frames_of_the_released_networks_are_those_of_torch(networks: Networks) -> None:
    source, motion = face(networks.autoencoder)
    expected = networks.autoencoder.render(source, motion)
    assert psnr(expected, source.frame.expand_as(expected)) < 35, "the motion moves something"
    assert psnr(compiled(networks.autoencoder).render(source, motion), expected) > 90


@torch.inference_mode()
def test_frames_with_all_parts_are_those_of_torch(untrained: Autoencoder) -> None:
    source, motion = face(untrained)
    network = compiled(untrained)
    assert len([module for module in network.modules() if isinstance(module, WithCore) and module.compiled]) == 5
    assert psnr(network.render(source, motion), untrained.render(source, motion)) > 90


def test_the_memory_of_compiled_networks_is_counted(untrained: Autoencoder) -> None:
    assert untrained.compiled_bytes == 0
    cores = [module for module in untrained.modules() if isinstance(module, WithCore)]
    size = sum(parameter.nbytes for core in cores for parameter in core.parameters())
    of_one = compiled(untrained).compiled_bytes
    assert 3 * size < of_one < 5 * size
    assert compiled(untrained, threads=3).compiled_bytes == 3 * of_one, "each thread has a process"


def test_an_autoencoder_is_compiled_in_inference_mode_too(untrained: Autoencoder) -> None:
    with torch.inference_mode():
        source, motion = face(compiled(untrained))
    assert torch.isfinite(motion).all()
    assert source.motion.isfinite().all()
