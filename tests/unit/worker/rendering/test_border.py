"""Fields end at the border of the crop, and nothing comes from beyond the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from tests.unit.worker.rendering.test_compositor import NETWORK, SQUARES, still_fields

from dubline.framing.crop import Square
from dubline.models.layers import resize
from dubline.worker.rendering.full_size.border import GENERATED, Border, Edges

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Fields


def all_by(x: float, y: float) -> Fields:
    """Make fields that move everything by one displacement, in half sides."""
    fields = still_fields()
    return fields._replace(displacement=fields.displacement + torch.tensor([x, y])[:, None, None])


def test_generated_pixels_reach_an_edge_of_the_picture() -> None:
    shown = GENERATED.of(Square(0, 40, 64), 104, 200)(still_fields(occlusion=1.0).generated.occlusion)[0, 0]
    assert shown[64, 0] == 1  # left edge of the picture
    assert shown[-1, 64] == 1  # lower edge
    assert shown[0, 64] == 0
    assert shown[64, -1] == 0


@pytest.mark.parametrize("square", SQUARES)
def test_nothing_moves_where_still_pixels_adjoin_the_crop(square: Square) -> None:
    height, width = 120, 160
    made = Border(square, height, width)
    moved, region = made(all_by(0.15, -0.15)).displacement[0].abs().amax(0).numpy(), made.region
    ring = round(0.07 * len(moved))
    for rows, adjoined in (
        (moved[:ring], region.top > 0),
        (moved[-ring:], region.top + region.side < height),
        (moved[:, :ring], region.left > 0),
        (moved[:, -ring:], region.left + region.side < width),
    ):
        assert not adjoined or rows.max() * region.side / 2 <= 1
    assert moved[len(moved) // 2, len(moved) // 2] == pytest.approx(0.12, rel=0.1)


@pytest.mark.parametrize("by", [0.02, 0.1, 0.3])
def test_no_edge_of_the_picture_is_repeated_in_streaks(by: float) -> None:
    side = 96
    for square in (Square(0, 0, side), Square(-12, -20, 128)):
        for x, y in ((-by, 0.0), (by, 0.0), (0.0, -by), (0.0, by)):
            moved = Edges(square, side, side)(all_by(x, y).displacement)
            steps = (torch.arange(square.side) * 2 + 1) / square.side - 1
            shown = resize(moved, square.side, square.side)[0] + torch.stack(
                torch.meshgrid(steps, steps, indexing="xy")
            )
            rows, columns = square.inside(side, side)
            shown = shown[:, rows.start - square.top :, columns.start - square.left :][:, :side, :side] * square.side
            along = shown[0].diff(dim=1) if x else shown[1].diff(dim=0)
            assert along.min() >= 2 * 0.45  # a pixel of the result covers nearly half a pixel of the source or more


@pytest.mark.parametrize("by", [-0.3, 0.3])
def test_no_pixel_of_a_region_is_moved_from_beyond_the_picture(by: float) -> None:
    height, width = 70, 72
    border = Border(Square(4, 10, 64), height, width)
    fields = still_fields(occlusion=1.0)._replace(displacement=torch.full((1, 2, NETWORK, NETWORK), by))
    x, y = border(fields).displacement[0]
    side = len(x)
    at = (torch.arange(side) + 0.5) * border.region.side / side
    for moved, start, limit in ((x, border.region.left, width), (y.T, border.region.top, height)):
        # Where each pixel comes from, in px of the picture.
        from_px = start + at + moved * border.region.side / 2
        inside = (start + at > 0) & (start + at < limit)
        assert from_px[:, inside].min() > 0
        assert from_px[:, inside].max() < limit
        assert moved.isfinite().all()
        assert moved.abs().max() > 0.1
