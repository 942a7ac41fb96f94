"""Which pixels of a mouth are generated."""

from __future__ import annotations

import torch
from torch import Tensor

from dubline.models.stage1.mouth_opening import BESIDE_PX, BLEND_PX, OPEN, limited

SIDE = 40
EVERYWHERE = torch.ones(1, 1, SIDE, SIDE)
#: Rows and columns that are open.
INSIDE = slice(16, 26), slice(8, 32)
#: Pixels further away than this are not beside the opening.
REACH = BESIDE_PX + BLEND_PX // 2


def motion(area: float) -> Tensor:
    planes = torch.zeros(1, 5, SIDE, SIDE)
    planes[:, 2] = area
    return planes


def opening(rows: slice = INSIDE[0], columns: slice = INSIDE[1]) -> Tensor:
    mask = 0 * EVERYWHERE
    mask[..., rows, columns] = 1
    return mask


def test_lips_of_open_mouths_are_moved() -> None:
    found = limited(0.8 * EVERYWHERE, opening(), motion(1.0), EVERYWHERE)
    assert torch.allclose(found[..., *INSIDE], torch.tensor(0.8))
    far = torch.ones(SIDE, SIDE, dtype=torch.bool)
    far[16 - REACH : 26 + REACH, 8 - REACH : 32 + REACH] = False
    assert found[0, 0, far].abs().max() < 1e-6
    edge = found[0, 0, 16 - REACH - 1 : 17, 20]
    assert (edge.diff() >= -1e-6).all()
    assert edge.diff().max() < 0.3


def test_a_mouth_that_shuts_is_generated() -> None:
    occlusion = torch.rand(EVERYWHERE.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(limited(occlusion, 0 * EVERYWHERE, motion(1.0), EVERYWHERE), occlusion)
    # Half as open as is needed for lips to be moved.
    rows = SIDE * SIDE * OPEN / 2
    little = opening(slice(20, 21), slice(0, round(rows)))
    far = limited(EVERYWHERE, little, motion(1.0), EVERYWHERE)[..., :10, :]
    assert torch.allclose(far, torch.tensor(0.5), atol=1e-3)


def test_what_is_stretched_between_the_lips_is_covered() -> None:
    nothing = 0 * EVERYWHERE
    assert torch.equal(limited(nothing, opening(), motion(0.2), EVERYWHERE), opening())
    assert torch.equal(limited(nothing, opening(), motion(1.0), EVERYWHERE), nothing)
    assert torch.equal(limited(nothing, nothing, motion(0.2), EVERYWHERE), nothing)


def test_nothing_changes_away_from_the_mouth() -> None:
    weight = EVERYWHERE.clone()
    weight[..., :12, :] = 0
    found = limited(0.5 * EVERYWHERE, opening(slice(0, 26)), motion(0.2), weight)
    assert torch.equal(found[..., :12, :], 0.5 * EVERYWHERE[..., :12, :])
