"""The mouth-eye refiner changes nothing at first, nothing outside its boxes, and follows the deformation."""

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
from dubline.models.stage1.mouth_eye_refiner import BOXES, GRID, MouthEyeRefiner, RegionRefiner

SIDE = 128
PARAMS = dataclasses.replace(TINY.autoencoder, render_px=SIDE // 2, mouth_eye_widths=(8, 16, 16), mouth_eye_motion=16)


def generated() -> GeneratedPixels:
    torch.manual_seed(2)
    return GeneratedPixels(torch.rand(1, 3, SIDE // 2, SIDE // 2) * 2 - 1, torch.rand(1, 1, SIDE // 2, SIDE // 2))


def awake(network: MouthEyeRefiner) -> MouthEyeRefiner:
    """As if it had learnt something: its last layers are not 0."""
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, RegionRefiner):
            torch.nn.init.normal_(module.output[-1].weight, std=0.1)
    return network


def retouched(network: MouthEyeRefiner, old: GeneratedPixels, displacement: Tensor | None = None) -> GeneratedPixels:
    torch.manual_seed(4)
    whole, motion = torch.rand(1, 3, SIDE, SIDE) * 2 - 1, torch.randn(1, PARAMS.motion)
    moved = torch.zeros(1, 2, 8, 8) if displacement is None else displacement
    new: GeneratedPixels = network(whole, moved, old, motion, torch.zeros_like(motion))
    return new


@torch.inference_mode()
def test_before_it_has_learnt_the_paint_is_only_enlarged() -> None:
    old = generated()
    new = retouched(MouthEyeRefiner(PARAMS), old)
    assert torch.equal(new.colour, resize(old.colour, SIDE, SIDE))
    assert torch.allclose(new.occlusion, resize(old.occlusion, SIDE, SIDE), atol=2e-3)


@torch.inference_mode()
def test_it_changes_its_boxes_alone_and_fades_out_at_their_edges() -> None:
    old = generated()
    change = (retouched(awake(MouthEyeRefiner(PARAMS)), old).colour - resize(old.colour, SIDE, SIDE)).abs().amax((0, 1))
    inside = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    for box in BOXES.values():
        inside[box.of(SIDE)] = True
    assert change[inside].mean() > 0.01
    assert change[~inside].max() == 0
    rows, columns = BOXES["mouth"].of(SIDE)
    assert change[rows, columns][-1].mean() < 0.2 * change[rows, columns].mean()


@torch.inference_mode()
def test_where_boxes_overlap_both_retouch_and_nothing_jumps() -> None:
    network, old = MouthEyeRefiner(PARAMS), generated()
    old = GeneratedPixels(0 * old.colour, old.occlusion)
    for retouch in network.boxes.values():
        # Everything becomes a little lighter, by as much in either box.
        cast("Tensor", cast("RegionRefiner", retouch).output[-1].bias)[:12] = 0.5
    # A large mouth right under the eyes.
    network.face_regions.bias.copy_(torch.tensor((0.0, 0.1, 0.6, 0.0, 0.0)))
    lighter = retouched(network, old).colour[0, 0]
    assert lighter.max() > 0.8
    # A box that wrote over the other one would end it with a step of .5.
    assert max(lighter.diff(dim=0).abs().max(), lighter.diff(dim=1).abs().max()) < 0.25


@torch.inference_mode()
def test_only_what_shows_the_sources_mouth_and_eyes_is_painted_again() -> None:
    """A mouth where the networks read one, and nothing of a chin below it, wherever the head has gone."""
    network = awake(MouthEyeRefiner(PARAMS))
    old = generated()
    low = torch.zeros(1, 2, 8, 8)
    # Everything is shown .25 further down: what was at .35 is at .6.
    low[:, 1] = -0.25
    for moved, mouth in ((None, 0.35), (low, 0.6)):
        change = (retouched(network, old, moved).colour - resize(old.colour, SIDE, SIDE)).abs()[0].mean(0)
        rows = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
        at = change[:, 3 * SIDE // 8 : 5 * SIDE // 8].mean(1)
        assert at[(rows - mouth).abs() < 0.1].mean() > 0.02
        assert at[(rows > mouth + 0.3)].max() == 0


@torch.inference_mode()
def test_places_are_read_off_the_sources_latent_not_off_the_motion() -> None:
    network, old = awake(MouthEyeRefiner(PARAMS)), generated()
    # The latent's first value says how much further down the mouth is.
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
def test_it_begins_with_what_a_head_has_learnt_to_read() -> None:
    torch.manual_seed(0)
    motion, source = torch.randn(2, 5, PARAMS.motion)
    together = torch.cat([motion, motion - source], dim=1)
    for count in (3, 40):
        network, head = MouthEyeRefiner(PARAMS), torch.randn(count, PARAMS.motion)
        assert network.is_untrained
        network.init_readings(head)
        kept = min(count, PARAMS.mouth_eye_motion // 2)
        heard = network.readings(together) - network.readings.bias
        assert torch.allclose(heard[:, :kept], motion @ head[-kept:].mT, atol=1e-3)
        assert torch.allclose(heard[:, kept : 2 * kept], (motion - source) @ head[-kept:].mT, atol=1e-3)
    assert not awake(network).is_untrained


@torch.inference_mode()
def test_it_looks_at_what_the_deformation_moved_there() -> None:
    network, old = awake(MouthEyeRefiner(PARAMS)), generated()
    shift = torch.full((1, 2, 8, 8), 0.1)
    assert not torch.equal(retouched(network, old).colour, retouched(network, old, shift).colour)


@pytest.mark.parametrize("name", BOXES)
def test_boxes_hold_whole_cells_of_the_deepest_level(name: str) -> None:
    for side in (4 * GRID, 8 * GRID):
        rows, columns = BOXES[name].of(side)
        assert 0 <= rows.start < rows.stop <= side
        assert 0 <= columns.start < columns.stop <= side
        assert (rows.stop - rows.start) % 8 == (columns.stop - columns.start) % 8 == 0


def test_a_box_of_a_warp_is_the_warp_s_box() -> None:
    torch.manual_seed(0)
    image, moved = torch.rand(2, 3, SIDE, SIDE), 0.2 * torch.randn(2, 2, SIDE, SIDE)
    rows, columns = box = BOXES["eyes"].of(SIDE)
    part = warp(image, moved[..., rows, columns], box)
    assert torch.allclose(part, warp(image, moved)[..., rows, columns], atol=1e-5)


def test_a_frame_is_retouched_where_it_is_larger_than_what_was_painted() -> None:
    torch.manual_seed(0)
    network = Autoencoder(PARAMS)
    assert network.mouth_eye_refiner is not None
    awake(network.mouth_eye_refiner)
    source: Source = network.encode_source(torch.rand(1, 3, SIDE, SIDE) * 2 - 1)
    motion = source.motion + torch.randn_like(source.motion)
    rendering = network(source, motion)
    assert rendering.generated.colour.shape[-1] == SIDE
    rendering.frame.square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.mouth_eye_refiner.parameters())
    small = network(source._replace(frame=source.small, whole=source.small), motion)
    assert small.generated.colour.shape[-1] == SIDE // 2


@pytest.mark.parametrize("side", [SIDE // 2, SIDE, SIDE + 16])
@torch.inference_mode()
def test_a_source_of_any_side_is_rendered_at_that_side(side: int) -> None:
    network = Autoencoder(PARAMS).eval()
    source = network.encode_source(torch.rand(1, 3, side, side) * 2 - 1)
    assert network.render(source, source.motion).shape == (1, 3, side, side)
