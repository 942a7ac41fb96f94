"""The reading of a source's lip gap."""

from __future__ import annotations

import pytest
import torch

from dubline.models.motion.source_gap import COLUMNS, ROWS, SIDE_PX, SourceGap, mouths


def test_only_the_region_of_the_mouth_are_read() -> None:
    torch.manual_seed(0)
    network, frames = SourceGap().eval(), torch.rand(2, 3, SIDE_PX, SIDE_PX) * 2 - 1
    others = torch.zeros_like(frames)
    others[..., ROWS, COLUMNS] = frames[..., ROWS, COLUMNS]
    assert torch.equal(network(frames), network(others))
    assert network(frames).shape == (2,)


@pytest.mark.parametrize("side_px", [128, 256, 512])
def test_frames_of_any_side_show_the_same_mouth(side_px: int) -> None:
    torch.manual_seed(0)
    coarse = torch.rand(1, 3, 16, 16) * 2 - 1
    whole, other = (torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear") for side in (256, side_px))
    torch.testing.assert_close(mouths(other), mouths(whole), atol=0.05, rtol=0)
    assert mouths(whole).min() >= 0
    assert mouths(whole).max() <= 1


def test_light_and_contrast_hardly_change_the_reading() -> None:
    torch.manual_seed(0)
    network, frames = SourceGap().eval(), torch.rand(4, 3, SIDE_PX, SIDE_PX) * 2 - 1
    torch.testing.assert_close(
        network.read(mouths(frames) / 2 + 0.4), network.read(mouths(frames)), atol=0.05, rtol=0.1
    )


def test_a_gap_is_never_negative() -> None:
    network = SourceGap().eval()
    torch.nn.init.constant_(network.output.bias, -9.0)
    assert network(torch.zeros(1, 3, SIDE_PX, SIDE_PX)).tolist() == [0.0]
