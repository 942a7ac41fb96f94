"""What stage 1 is trained to get right."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

LEFT_EYE: Final = slice(36, 42)
RIGHT_EYE: Final = slice(42, 48)
MOUTH: Final = slice(48, 68)
#: What parts when a mouth or an eye opens: inner lips, then lids, above and below.
ABOVE: Final = [61, 62, 63, 37, 38, 43, 44]
BELOW: Final = [67, 66, 65, 41, 40, 47, 46]
#: The threshold of the paper's mask loss, in units of [-1, 1]: smaller differences are noise, not motion.
TAU: Final = 0.02
#: A difference of this size, in units of [-1, 1], makes painting cheap; nothing but mouths and moving lids makes it
#: cheaper than the floor.
FREE_ERROR: Final = 0.15
LEAST_PRICE: Final = 0.25
#: An eye that opens or shuts by this share of its width has to be painted. Open eyes measure about .3.
LIDS_MOVED: Final = 0.15


def _ellipse(points: int, x: float, y: float, width: float, height: float) -> Tensor:
    angle = torch.linspace(0, 2 * torch.pi, points + 1)[:points]
    return torch.stack([x - width / 2 * angle.cos(), y - height / 2 * angle.sin()], 1)


#: Where a framed face has its parts, in [-1, 1]: means over the corpus's clips, for footage without landmarks.
FRAMED_LANDMARKS: Final = torch.cat(
    [
        _ellipse(34, 0.02, 0.1, 0.95, 1.2)[17:].flip(0),
        _ellipse(19, 0.02, -0.1, 0.8, 0.5),
        _ellipse(6, -0.20, -0.19, 0.18, 0.06),
        _ellipse(6, 0.25, -0.19, 0.18, 0.06),
        _ellipse(20, 0.03, 0.32, 0.36, 0.17),
    ]
).numpy()


def bump(points: Tensor, spread: float, size_px: int) -> Tensor:
    """A bell over the middle of some landmarks.

    Args:
        points: (B, P, 2) in [-1, 1].
        spread: standard deviation, as a share of the points' width.
        size_px: side of the picture.

    Returns:
        (B, 1, size_px, size_px), 1 in the middle.
    """
    axis = (torch.arange(size_px, device=points.device) * 2 + 1) / size_px - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    radius = spread * (points[:, :, 0].amax(1) - points[:, :, 0].amin(1)).clamp_min(0.05)
    distance = (grid[None] - points.mean(1)[:, None, None]).square().sum(-1)
    return torch.exp(-distance / (2 * radius[:, None, None] ** 2))[:, None]


def face_weight(landmarks: Tensor, size_px: int) -> Tensor:
    """Where people look: 1, rising to 11 on the mouth and to 4 on the eyes.

    Args:
        landmarks: (B, 68, 2) in [-1, 1], Multi-PIE order.
        size_px: side of the picture.

    Returns:
        (B, 1, size_px, size_px).
    """
    left, right = landmarks[:, LEFT_EYE], landmarks[:, RIGHT_EYE]
    eyes = bump(left, 0.5, size_px) + bump(right, 0.5, size_px)
    return 1 + 10 * bump(landmarks[:, MOUTH], 0.4, size_px) + 3 * eyes


def picture_loss(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Weighted L1 at three scales, plus L1 of the gradients, which keeps edges sharp."""
    loss = (weight * (picture - target).abs()).mean()
    for factor in (2, 4):
        small, wanted = F.avg_pool2d(picture, factor), F.avg_pool2d(target, factor)
        loss = loss + 0.5 * (F.avg_pool2d(weight, factor) * (small - wanted).abs()).mean()
    for axis in (-1, -2):
        loss = loss + (weight.narrow(axis, 1, weight.shape[axis] - 1) * (picture - target).diff(dim=axis).abs()).mean()
    return loss


def threshold_loss(picture: Tensor, target: Tensor) -> Tensor:
    """The paper's mask loss: root mean square difference of the frames that differ by more than tau."""
    difference = picture - target
    root = difference.square().mean(dim=(1, 2, 3)).add(1e-8).sqrt()
    return (root * (difference.abs().mean(dim=(1, 2, 3)) > TAU)).mean()


def displacement_error(displacement: Tensor, source: Tensor, driving: Tensor) -> Tensor:
    """How far from the source's landmarks a deformation points where the driving ones are: (B, 68, 2).

    Args:
        displacement: (B, 2, H, W), the mixed deformation, in units of half the side.
        source: (B, 68, 2) and
        driving: (B, 68, 2), landmarks in [-1, 1].
    """
    found = F.grid_sample(displacement, driving[:, :, None], padding_mode="border", align_corners=False)[..., 0].mT
    return found - (source - driving)


def landmark_weight(landmarks: Tensor, known: Tensor) -> Tensor:
    """What landmarks (B, 68, 2) in [-1, 1] count: (B, 68), 0 outside of the picture and where `known` (B,) is 0.

    Lips count twice; the jaw line may be hidden in a turned head and counts less.
    """
    weight = torch.ones(68, device=landmarks.device)
    weight[:17] = 0.2
    weight[MOUTH] = 2.0
    weighed: Tensor = (landmarks.abs().amax(-1) < 1) * weight * known[:, None]
    return weighed


def landmark_loss(displacement: Tensor, source: Tensor, driving: Tensor, known: Tensor) -> Tensor:
    """Exact geometry as a teacher: where a driving landmark is, the deformation must point to the source's.

    Args:
        displacement: (B, 2, H, W), the mixed deformation.
        source: (B, 68, 2) and
        driving: (B, 68, 2), landmarks in [-1, 1].
        known: (B,), 0 where the landmarks are a guess.
    """
    seen = landmark_weight(driving, known)
    return (seen[..., None] * displacement_error(displacement, source, driving).abs()).mean()


def opening_loss(displacement: Tensor, source: Tensor, driving: Tensor, known: Tensor) -> Tensor:
    """How far lips and lids are parted, the head's motion left out: a few pixels that the whole film is about.

    Args:
        displacement: (B, 2, H, W), the mixed deformation.
        source: (B, 68, 2) and
        driving: (B, 68, 2), landmarks in [-1, 1].
        known: (B,), 0 where the landmarks are a guess.
    """
    off = displacement_error(displacement, source, driving)
    return (known[:, None, None] * (off[:, BELOW] - off[:, ABOVE]).abs()).mean()


def lid_motion_mask(source: Tensor, driving: Tensor, size_px: int) -> Tensor:
    """Where an eye is that opens or shuts: nothing of the source can be moved there.

    Args:
        source: (B, 68, 2) and
        driving: (B, 68, 2), landmarks in [-1, 1].
        size_px: side of the picture.

    Returns:
        (B, 1, size_px, size_px) in [0, 1], 1 in the middle of a driving eye that has changed by `LIDS_MOVED`.
    """
    there = []
    for eye in (LEFT_EYE, RIGHT_EYE):
        before, after = source[:, eye], driving[:, eye]
        width = (after[:, 3] - after[:, 0]).norm(dim=-1).clamp_min(1e-3)
        changed = ((_opening(after) - _opening(before)).abs() / width / LIDS_MOVED).clamp(max=1)
        there.append(changed[:, None, None, None] * bump(after, 0.5, size_px))
    return torch.maximum(*there)


def _opening(eye: Tensor) -> Tensor:
    """How far the lids (B, 6, 2) of an eye are apart: (B,)."""
    opening: Tensor = (eye[:, [5, 4]] - eye[:, [1, 2]]).norm(dim=-1).mean(1)
    return opening


def mouth_mask(driving: Tensor, size_px: int) -> Tensor:
    """Where mouths are: (B, 1, size_px, size_px) in [0, 1], of driving landmarks (B, 68, 2) in [-1, 1]."""
    return bump(driving[:, MOUTH], 0.35, size_px)


def occlusion_loss(occlusion: Tensor, warped: Tensor, target: Tensor, free: Tensor) -> Tensor:
    """The price of painting: dear where warping had it right, cheaper where it is far off.

    Without it the decoder paints whole faces, softly, over sharp pixels that are a little displaced.

    Args:
        occlusion: (B, 1, H, W) in [0, 1].
        warped: (B, 3, H, W) and
        target: (B, 3, H, W) in [-1, 1].
        free: (B, 1, H, W) in [0, 1], what no deformation shows: mouths, and lids that move.
    """
    off = (warped - target).abs().mean(dim=1, keepdim=True)
    price = LEAST_PRICE + (1 - LEAST_PRICE) * torch.exp(-off / FREE_ERROR)
    return (occlusion * price * (1 - free)).mean()


def lid_coverage_loss(occlusion: Tensor, lids: Tensor) -> Tensor:
    """Paint covers eyes that open or shut: cross-entropy, which also opens a mask that is shut to a millionth.

    Blinks are seldom and small: the picture's own gradient, which such a mask scales to a thousandth, never opened it.

    Args:
        occlusion: (B, 1, H, W) in [0, 1].
        lids: (B, 1, H, W) in [0, 1], `lid_motion_mask`.
    """
    return -(lids * occlusion.clamp_min(1e-6).log()).mean()


def colour_loss(colour: Tensor, warped: Tensor, target: Tensor, weight: Tensor, free: Tensor) -> Tensor:
    """What the decoder would paint, taught wherever paint is needed, shown or not.

    A mask that is shut passes next to no gradient to the colour behind it, and a wrong colour keeps it shut.

    Args:
        colour: (B, 3, H, W) in [-1, 1], and
        warped: (B, 3, H, W), whose errors say where paint is needed besides `free`.
        target: (B, 3, H, W).
        weight: (B, 1, H, W), of `face_weight`.
        free: (B, 1, H, W) in [0, 1], what no deformation shows: mouths, and lids that move.
    """
    off = (warped - target).abs().mean(dim=1, keepdim=True)
    needed = torch.maximum(1 - torch.exp(-off / FREE_ERROR), free)
    return (weight * needed * (colour - target).abs()).mean()
