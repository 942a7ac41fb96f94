"""Rendering without state: any range of frames, at any resolution, equals that range of the whole."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import pytest
import skimage.data
import torch
from torch import Tensor

from dubline.models.layers import resize, warp
from dubline.models.presets import TINY
from dubline.models.stage1.autoencoder import Autoencoder, Fields, Source
from dubline.models.stage1.frame_decoder import GeneratedPixels

if TYPE_CHECKING:
    from dubline.models.weights import Networks


def psnr(found: Tensor, expected: Tensor) -> float:
    """Compute the PSNR of two pictures in [-1, 1], dB."""
    return -10 * math.log10((found - expected).div(2).square().mean().item() + 1e-12)


@pytest.fixture(scope="module")
def face(networks: Networks) -> Source:
    """The astronaut of scikit-image, encoded in fp32 as in the worker."""
    pixels = torch.from_numpy(skimage.data.astronaut()[20:212, 130:322].copy())
    with torch.inference_mode():
        return networks.autoencoder.encode_source(pixels.permute(2, 0, 1)[None].float() / 127.5 - 1)


@torch.inference_mode()
def test_a_range_of_frames_equals_the_same_range_of_the_whole(networks: Networks, source: Source) -> None:
    motion = source.motion + 0.3 * torch.randn(8, source.motion.shape[1])
    whole = networks.autoencoder.render(source, motion)
    part = networks.autoencoder.render(source, motion[3:6])
    torch.testing.assert_close(part, whole[3:6], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_the_same_batch_renders_to_the_same_bits(networks: Networks, source: Source) -> None:
    motion = source.motion + 0.3 * torch.randn(8, source.motion.shape[1])
    assert torch.equal(networks.autoencoder.render(source, motion), networks.autoencoder.render(source, motion))


@torch.inference_mode()
def test_a_whole_batch_alone_has_the_same_bits_as_in_the_whole(networks: Networks, face: Source) -> None:
    batch = networks.preset.render_batch
    motion = face.motion + 0.3 * torch.randn(3 * batch, face.motion.shape[1])
    whole = torch.cat([networks.autoencoder.render(face, part) for part in motion.split(batch)])
    for first in (0, batch, 2 * batch):
        alone = networks.autoencoder.render(face, motion[first : first + batch])
        assert torch.equal(alone, whole[first : first + batch])


@torch.inference_mode()
def test_rendering_in_bf16_is_close_to_fp32(networks: Networks, face: Source) -> None:
    torch.manual_seed(0)
    motion = face.motion + 0.3 * face.motion.std() * torch.randn(4, face.motion.shape[1])
    exact = networks.autoencoder.render(face, motion)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = networks.autoencoder.render(face, motion)
    assert rounded.dtype == torch.float32
    assert psnr(exact, face.frame.expand_as(exact)) < 35, "the motion moves something"
    assert min(psnr(*pair) for pair in zip(rounded, exact, strict=True)) >= 60


@torch.inference_mode()
def test_frames_have_the_resolution_of_the_source_frame(networks: Networks) -> None:
    source = networks.autoencoder.encode_source(torch.zeros(1, 3, 300, 300))
    assert networks.autoencoder.render(source, source.motion).shape == (1, 3, 300, 300)


@torch.inference_mode()
def test_frames_stay_in_range(networks: Networks, source: Source) -> None:
    frames = networks.autoencoder.render(source, source.motion + 5 * torch.randn(4, source.motion.shape[1]))
    assert frames.abs().max() <= 1


def test_a_warp_samples_the_image_at_the_displaced_position() -> None:
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 2, 5] = 1
    displacement = torch.zeros(1, 2, 8, 8)
    displacement[:, 0] = 2 * 2 / 8
    assert warp(image, displacement)[0, 0, 2, 3] == 1
    assert warp(image, displacement, bicubic=True)[0, 0, 2, 3] == 1


def test_bicubic_sampling_keeps_more_detail_than_bilinear() -> None:
    image = torch.rand(1, 3, 32, 32)
    displacement = torch.full((1, 2, 32, 32), 0.5 * 2 / 32)
    kept = [warp(image, displacement, bicubic=bicubic).diff(dim=-1).var() for bicubic in (False, True)]
    assert kept[1] > 1.3 * kept[0]
    sides = [resize(image, 48, 48, bicubic=bicubic).diff(dim=-1).var() for bicubic in (False, True)]
    assert sides[1] > 1.1 * sides[0]


def test_generated_areas_keep_the_finest_detail_of_the_source() -> None:
    torch.manual_seed(0)
    network = Autoencoder(TINY.autoencoder).eval()
    convolution = network.frame_decoder.output[1]
    assert isinstance(convolution, torch.nn.Conv2d)
    with torch.no_grad():
        # The occlusion mask is open everywhere.
        cast("Tensor", convolution.bias)[12:] = 20
        source = network.encode_source(torch.rand(1, 3, 512, 512) - 0.5)
        frame = network.render(source, source.motion)
        smooth = network.render(network.encode_source(resize(source.render_frame, 512, 512)), source.motion)

    def fine(picture: Tensor) -> float:
        return float((picture - resize(resize(picture, 128, 128), 512, 512)).var())

    assert fine(frame) > 0.5 * fine(source.frame)
    assert fine(frame) > 2 * fine(smooth)


def test_other_frames_are_combined_of_key_frames() -> None:
    torch.manual_seed(0)
    known = Fields(torch.rand(3, 2, 4, 4), GeneratedPixels(torch.rand(3, 3, 8, 8), torch.rand(3, 1, 8, 8)))
    weights = torch.tensor([[1, 0, 0], [0.5, 0.25, 0.25], [-4, 0, 5], [0, 1, 0], [0, 0, 1.0]])
    whole = known.combined([0, 3, 4], weights)
    for few, all_frames in zip(
        (known.displacement, *known.generated), (whole.displacement, *whole.generated), strict=True
    ):
        assert torch.equal(all_frames[[0, 3, 4]], few)
        torch.testing.assert_close(all_frames[1], (2 * few[0] + few[1] + few[2]) / 4)
    assert whole.displacement[2].max() > 1
    assert (whole.generated.colour.abs().max(), whole.generated.occlusion.min()) == (1, 0)
    assert known.combined([0, 1, 2], torch.eye(3)) is known
