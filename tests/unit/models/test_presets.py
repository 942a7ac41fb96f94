"""Shapes of every preset's networks, with each ablation and at a smaller size."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from dubline.models.presets import BASE, PRESETS, TINY, Preset
from dubline.models.stage1.autoencoder import Autoencoder
from dubline.models.stage2.diffusion import Diffusion

presets = pytest.mark.parametrize("preset", PRESETS.values(), ids=lambda preset: preset.name)


@presets
@torch.inference_mode()
def test_encoding_and_rendering_have_the_shapes_of_the_preset(preset: Preset) -> None:
    torch.manual_seed(0)
    network = Autoencoder(preset.autoencoder).eval()
    params, side, inner = preset.autoencoder, preset.size_px, preset.autoencoder.render_px
    source = network.encode_source(torch.rand(1, 3, side, side) * 2 - 1)
    assert source.motion.shape == (1, params.motion)
    assert source.appearance.shape == (1, params.appearance)
    assert source.features.volume.shape == (1, params.plane_channels, params.planes, inner // 4, inner // 4)
    rendering = network(source.repeat(2), source.motion + torch.randn(2, params.motion))
    assert rendering.frame.shape == (2, 3, side, side)
    assert rendering.generated.occlusion.shape == (2, 1, side, side)
    assert rendering.deformation.mixed.shape == (2, 2, inner // 2, inner // 2)
    assert rendering.deformation.planes.shape[1] == params.planes


def test_base_has_the_latent_of_the_paper() -> None:
    assert BASE.size_px == 256
    assert BASE.autoencoder.motion == 768
    assert sorted(BASE.autoencoder.latent_grid) == [8, 8, 12]


@presets
@torch.inference_mode()
def test_latents_do_not_depend_on_the_rendering_side(preset: Preset) -> None:
    torch.manual_seed(0)
    network = Autoencoder(preset.autoencoder).eval()
    frame = torch.rand(1, 3, preset.size_px, preset.size_px) * 2 - 1
    whole, half = network.encode_source(frame), network.encode_source(frame, preset.size_px // 2)
    assert torch.equal(whole.motion, half.motion)
    assert torch.equal(whole.appearance, half.appearance)
    motion = whole.motion + torch.randn_like(whole.motion)
    small = half._replace(frame=half.render_frame, network_frame=half.render_frame)
    assert network(small, motion).frame.shape[-1] == preset.size_px // 2


@presets
def test_every_parameter_of_an_untrained_network_gets_a_gradient(preset: Preset) -> None:
    torch.manual_seed(0)
    network = Autoencoder(preset.autoencoder)
    frames = torch.rand(2, 3, preset.size_px, preset.size_px) * 2 - 1
    rendering = network(network.encode_source(frames), network.encode_motion(frames.flip(0)))
    rendering.frame.square().mean().backward()
    missing = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert missing == []


@pytest.mark.parametrize(
    ("switch", "part"),
    [
        ("uses_appearance", "deviation_decoder.identity."),
        ("uses_transformer", "deviation_transformer.transformer."),
        ("uses_attention", "deviation_decoder.attention."),
    ],
)
@torch.inference_mode()
def test_an_ablation_has_no_weights_of_its_part(switch: str, part: str) -> None:
    whole = Autoencoder(TINY.autoencoder)
    switches: dict[str, Any] = {switch: False}
    ablated = Autoencoder(replace(TINY.autoencoder, **switches)).eval()
    assert any(key.startswith(part) for key in whole.state_dict())
    assert not any(key.startswith(part) for key in ablated.state_dict())
    source = ablated.encode_source(torch.zeros(1, 3, 128, 128))
    assert ablated.render(source, source.motion).shape == (1, 3, 128, 128)


@presets
def test_stage_two_whitens_latents_of_stage_one(preset: Preset) -> None:
    diffusion = Diffusion(preset)
    assert diffusion.whitening.basis.shape == (preset.autoencoder.motion, preset.diffusion.whitened)
