"""Pictures that move as rendered heads do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from dubline.training.stage1.data.pairs import Pairs
from dubline.training.stage1.data.pictures import Pictures
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS
from dubline.training.stage1.losses.transfer import opening_changes, transfer_loss

SIDE = 64
#: Opening of the lower face below the root of the nose: displacement of the source against the distance to it.
OPENING = 0.2


class Network:
    """Motion is the brightness of a frame; by its change the lower face stretches."""

    def __init__(self, follows: float) -> None:
        self.follows = follows

    def encode_motion(self, frames: Tensor) -> Tensor:
        return frames.mean(dim=(1, 2, 3))[:, None]

    def encode_source(self, frames: Tensor, size_px: int) -> Any:
        assert size_px == SIDE
        return SimpleNamespace(motion=self.encode_motion(frames))

    def deform(self, source: Any, motion: Tensor) -> Any:
        change = (motion - source.motion)[:, 0]
        y = (torch.arange(SIDE) * 2 + 1) / SIDE - 1
        nose = float(FRAMED_LANDMARKS[27, 1])
        below = -(y - nose).clamp_min(0) * OPENING / (1 + OPENING)
        field = torch.zeros(len(change), 2, SIDE, SIDE)
        field[:, 1] = self.follows * change[:, None, None] * below[:, None]
        return SimpleNamespace(mixed=field)


def heads(*, opens: bool) -> Pairs:
    """Two heads, one of them half as large, whose lower faces stretch; or shrink."""
    shut = torch.from_numpy(FRAMED_LANDMARKS).repeat(2, 1, 1)
    nose = shut[:, 27:28, 1]
    parted = shut.clone()
    parted[..., 1] = nose + (shut[..., 1] - nose) * torch.where(shut[..., 1] > nose, 1 + OPENING, 1.0)
    size = torch.tensor([1.0, 0.5])[:, None, None]
    dark, light = torch.zeros(2, 3, SIDE, SIDE), torch.ones(2, 3, SIDE, SIDE)
    order = (dark, light, size * shut, size * parted) if opens else (light, dark, size * parted, size * shut)
    known = torch.ones(2)
    geometry = torch.zeros(2, 1)
    return Pairs(order[0], order[1], order[1], order[2], order[3], known, geometry, 0 * known, known > 1)


def pictures() -> Pictures:
    return Pictures(torch.full((2, 3, SIDE, SIDE), 0.3), torch.from_numpy(FRAMED_LANDMARKS).repeat(2, 1, 1))


def loss(follows: float, *, opens: bool = True) -> float:
    return float(transfer_loss(cast("Any", Network(follows)), pictures(), heads(opens=opens), SIDE))


def test_pictures_that_move_as_the_heads_do_have_no_loss() -> None:
    assert loss(1.0) < 2e-3
    assert loss(0.0) > 0.03
    assert 0.4 < loss(0.5) / loss(0.0) < 0.6


def test_lips_of_pictures_only_part() -> None:
    assert loss(1.0, opens=False) < 2e-3
    network = cast("Any", Network(1.0))
    opened, shut = (opening_changes(network, heads(opens=opens), 2) for opens in (True, False))
    assert torch.equal(opened.motion, shut.motion)
    # The smaller head's change counts as much.
    torch.testing.assert_close(opened.landmarks[0], opened.landmarks[1])
