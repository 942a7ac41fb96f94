"""The mouth-eye refiner: no change at initialisation or outside its boxes; regions follow the deformation."""

from __future__ import annotations

import dataclasses
from typing import cast

import pytest
import torch
from torch import Tensor

from dubline.models.layers import resize, warp
from dubline.models.presets import TINY
from dubline.models.stage1.autoencoder import Autoencoder, Source
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.mouth_eye_refiner import BOXES, DEFAULT_REGIONS, GRID, MouthEyeRefiner, RegionRefiner
from dubline.models.stage1.teeth import LIKELY

SIDE = 128
PARAMS = dataclasses.replace(TINY.autoencoder, render_px=SIDE // 2, mouth_eye_widths=(8, 16, 16), mouth_eye_motion=16)


def generated() -> GeneratedPixels:
    torch.manual_seed(2)
    return GeneratedPixels(torch.rand(1, 3, SIDE // 2, SIDE // 2) * 2 - 1, torch.rand(1, 1, SIDE // 2, SIDE // 2))


def randomised(network: MouthEyeRefiner) -> MouthEyeRefiner:
    """Fill the output layers, which are 0 at initialisation, with noise."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, RegionRefiner):
            torch.nn.init.normal_(module.output[-1].weight, std=0.1)
    return network


def refined(network: MouthEyeRefiner, old: GeneratedPixels, displacement: Tensor | None = None) -> GeneratedPixels:
    torch.manual_seed(4)
    # Grey, so that no colour of a mouth is limited.
    whole, motion = (torch.rand(1, 1, SIDE, SIDE) * 2 - 1).expand(1, 3, -1, -1), torch.randn(1, PARAMS.motion)
    moved = torch.zeros(1, 2, 8, 8) if displacement is None else displacement
    new: GeneratedPixels = network(whole, moved, old, motion, torch.zeros_like(motion))
    return new


@torch.inference_mode()
def test_an_untrained_refiner_only_enlarges_the_generated_pixels() -> None:
    old = generated()
    new = refined(MouthEyeRefiner(PARAMS), old)
    assert torch.equal(new.colour, resize(old.colour, SIDE, SIDE))
    assert torch.allclose(new.occlusion, resize(old.occlusion, SIDE, SIDE), atol=2e-3)


@torch.inference_mode()
def test_only_the_boxes_change_and_the_change_fades_at_their_edges() -> None:
    old = generated()
    change = (
        (refined(randomised(MouthEyeRefiner(PARAMS)), old).colour - resize(old.colour, SIDE, SIDE)).abs().amax((0, 1))
    )
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    for box in BOXES.values():
        inside[box.slices(SIDE)] = True
    assert change[inside].mean() > 0.01
    assert change[~inside].max() == 0
    rows, columns = BOXES["mouth"].slices(SIDE)
    assert change[rows, columns][-1].mean() < 0.2 * change[rows, columns].mean()


@torch.inference_mode()
def test_overlapping_boxes_are_refined_twice_without_a_step() -> None:
    network, old = MouthEyeRefiner(PARAMS), generated()
    old = GeneratedPixels(0 * old.colour, old.occlusion)
    for refiner in network.boxes.values():
        # All pixels become lighter by the same amount in both boxes.
        cast("Tensor", cast("RegionRefiner", refiner).output[-1].bias)[:12] = 0.5
    # A large mouth directly below the eyes.
    network.face_regions.bias.copy_(torch.tensor((0.0, 0.1, 0.6, 0.0, 0.0)))
    lighter = refined(network, old).colour[0, 0]
    assert lighter.max() > 0.8
    # If one box overwrote the other, its edge would be a step of .5.
    assert max(lighter.diff(dim=0).abs().max(), lighter.diff(dim=1).abs().max()) < 0.25


@torch.inference_mode()
def test_only_regions_of_the_source_s_mouth_and_eyes_are_refined() -> None:
    """The mouth is refined and the chin below it is not, at any position of the head."""
    network = randomised(MouthEyeRefiner(PARAMS))
    old = generated()
    low = torch.zeros(1, 2, 8, 8)
    # The picture moves down by .25, so the mouth at .35 moves to .6.
    low[:, 1] = -0.25
    for moved, mouth in ((None, 0.35), (low, 0.6)):
        change = (refined(network, old, moved).colour - resize(old.colour, SIDE, SIDE)).abs()[0].mean(0)
        rows = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
        at = change[:, 3 * SIDE // 8 : 5 * SIDE // 8].mean(1)
        assert at[(rows - mouth).abs() < 0.1].mean() > 0.02
        assert at[(rows > mouth + 0.3)].max() == 0


@torch.inference_mode()
def test_teeth_are_drawn_and_stretched_lips_covered_in_an_opening() -> None:
    network, old = MouthEyeRefiner(PARAMS), generated()
    black = GeneratedPixels(torch.full_like(old.colour, -1), torch.full_like(old.occlusion, 0.5))
    shut = refined(network, black)
    bias = cast("Tensor", cast("RegionRefiner", network.boxes["mouth"]).output[-1].bias)
    bias[16:20] = LIKELY + 2
    wide = refined(network, black)
    rows, columns = (slice(round(SIDE * start), round(SIDE * end)) for start, end in ((0.66, 0.69), (0.48, 0.52)))
    assert shut.colour.max() == -1
    assert wide.colour.max() > -0.5
    # The opening is as large as the refined region, and a jaw that goes down stretches what is in it.
    y = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
    jaw = torch.zeros(1, 2, SIDE, SIDE)
    jaw[0, 1] = -0.9 * (y - 0.3).clamp(0, 0.4)[:, None]
    assert refined(network, black, jaw).occlusion[..., rows, columns].min() > 0.95
    bias[16:20] = 0
    assert refined(network, black, jaw).occlusion[..., rows, columns].max() < 0.6


@torch.inference_mode()
def test_nostrils_are_not_refined() -> None:
    old = generated()
    change = (
        (refined(randomised(MouthEyeRefiner(PARAMS)), old).colour - resize(old.colour, SIDE, SIDE)).abs()[0].mean(0)
    )
    mouth, width = DEFAULT_REGIONS[1:3]
    # In widths of the mouth; nostrils are half of it above the middle.
    above = (mouth + 1 - (torch.arange(SIDE) * 2 + 1) / SIDE) / width
    at = change[:, 3 * SIDE // 8 : 5 * SIDE // 8].amax(1)
    assert at[(above > 0) & (above < 0.4)].min() > 0
    assert at[(above > 0.5) & (above < 0.7)].max() == 0


@torch.inference_mode()
def test_face_regions_are_read_off_the_source_s_latent_only() -> None:
    network, old = randomised(MouthEyeRefiner(PARAMS)), generated()
    # The latent's first value moves the mouth down.
    network.face_regions.weight[1, 0] = 0.25
    rows = (torch.arange(SIDE) * 2 + 1) / SIDE - 1

    def lowest(motion: float, origin: float) -> float:
        latents = torch.zeros(2, 1, PARAMS.motion)
        latents[:, 0, 0] = torch.tensor([motion, origin])
        new: GeneratedPixels = network(torch.ones(1, 3, SIDE, SIDE), torch.zeros(1, 2, 8, 8), old, *latents)
        change = (new.colour - resize(old.colour, SIDE, SIDE)).abs()[0].mean(0).amax(1)
        return float(rows[change > 0].max())

    assert lowest(1, 0) == lowest(0, 0)
    assert lowest(0, 1) > lowest(0, 0) + 0.15


@torch.inference_mode()
def test_readings_are_initialised_from_a_trained_head() -> None:
    torch.manual_seed(0)
    motion, source = torch.randn(2, 5, PARAMS.motion)
    together = torch.cat([motion, motion - source], dim=1)
    for count in (3, 40):
        network, head = MouthEyeRefiner(PARAMS), torch.randn(count, PARAMS.motion)
        assert network.is_untrained
        network.init_readings(head)
        kept = min(count, PARAMS.mouth_eye_motion // 2)
        readings = network.readings(together) - network.readings.bias
        assert torch.allclose(readings[:, :kept], motion @ head[-kept:].mT, atol=1e-3)
        assert torch.allclose(readings[:, kept : 2 * kept], (motion - source) @ head[-kept:].mT, atol=1e-3)
    assert not randomised(network).is_untrained


@torch.inference_mode()
def test_the_input_is_warped_by_the_deformation() -> None:
    network, old = randomised(MouthEyeRefiner(PARAMS)), generated()
    shift = torch.full((1, 2, 8, 8), 0.1)
    assert not torch.equal(refined(network, old).colour, refined(network, old, shift).colour)


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_whole_cells_of_the_deepest_level(name: str) -> None:
    for side in (4 * GRID, 8 * GRID):
        rows, columns = BOXES[name].slices(side)
        assert 0 <= rows.start < rows.stop <= side
        assert 0 <= columns.start < columns.stop <= side
        assert (rows.stop - rows.start) % 8 == (columns.stop - columns.start) % 8 == 0


def test_a_warp_of_a_box_equals_the_box_of_the_warp() -> None:
    torch.manual_seed(0)
    image, moved = torch.rand(2, 3, SIDE, SIDE), 0.2 * torch.randn(2, 2, SIDE, SIDE)
    rows, columns = box = BOXES["eyes"].slices(SIDE)
    part = warp(image, moved[..., rows, columns], box)
    assert torch.allclose(part, warp(image, moved)[..., rows, columns], atol=1e-5)


def test_only_frames_above_the_rendering_side_are_refined() -> None:
    torch.manual_seed(0)
    network = Autoencoder(PARAMS)
    assert network.mouth_eye_refiner is not None
    randomised(network.mouth_eye_refiner)
    source: Source = network.encode_source(torch.rand(1, 3, SIDE, SIDE) * 2 - 1)
    motion = source.motion + torch.randn_like(source.motion)
    rendering = network(source, motion)
    assert rendering.generated.colour.shape[-1] == SIDE
    rendering.frame.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.mouth_eye_refiner.parameters())
    small = network(source._replace(frame=source.render_frame, network_frame=source.render_frame), motion)
    assert small.generated.colour.shape[-1] == SIDE // 2


@pytest.mark.parametrize("side", [SIDE // 2, SIDE, SIDE + 16])
@torch.inference_mode()
def test_a_source_of_any_side_is_rendered_at_that_side(side: int) -> None:
    network = Autoencoder(PARAMS).eval()
    source = network.encode_source(torch.rand(1, 3, side, side) * 2 - 1)
    assert network.render(source, source.motion).shape == (1, 3, side, side)


@torch.inference_mode()
def test_green_pixels_become_redder_in_the_mouth_only() -> None:
    old = GeneratedPixels(torch.zeros(1, 3, SIDE, SIDE), torch.ones(1, 1, SIDE, SIDE))
    old.colour[:, 0] = -0.5
    skin = torch.tensor([0.5, 0.1, 0.0])[None, :, None, None].expand(1, 3, SIDE, SIDE)
    motion = torch.zeros(1, PARAMS.motion)
    new = MouthEyeRefiner(PARAMS)(skin, torch.zeros(1, 2, 8, 8), old, motion, motion)
    change = (new.colour - old.colour)[0, 0]
    x, y = (round((1 + part) * SIDE / 2) for part in DEFAULT_REGIONS[:2])
    assert change[y, x] > 0.3
    assert change[: BOXES["mouth"].slices(SIDE)[0].start].abs().max() == 0
