"""Loss terms of stage 1 on pixels, deformation and occlusion masks."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

LEFT_EYE: Final = slice(36, 42)
RIGHT_EYE: Final = slice(42, 48)
MOUTH: Final = slice(48, 68)
INNER_LIPS: Final = slice(60, 68)
#: Side in px of the filter that widens and blurs the mask of parted lips.
LIP_EDGE_PX: Final = 5
#: Pairs of landmarks above and below an opening: inner lips; the root of the nose and the chin; lids.
ABOVE_LIPS: Final = [61, 62, 63]
BELOW_LIPS: Final = [67, 66, 65]
ABOVE_JAW: Final = [*ABOVE_LIPS, 27, 27, 27]
BELOW_JAW: Final = [*BELOW_LIPS, 7, 8, 9]
ABOVE: Final = [*ABOVE_JAW, 37, 38, 43, 44]
BELOW: Final = [*BELOW_JAW, 41, 40, 47, 46]
#: Threshold of the paper's mask loss, in units of [-1, 1]: smaller differences are noise, not motion.
TAU: Final = 0.02
#: Warping error, in units of [-1, 1], at which generating a pixel becomes cheap, and the lowest price outside mouths
#: and moving lids.
FREE_ERROR: Final = 0.15
LEAST_PRICE: Final = 0.25
#: BT.601 luma of red, green and blue; side in px of the filter of colour differences.
LUMA: Final = (0.299, 0.587, 0.114)
CHROMA_PX: Final = 3
#: Change of an eye's opening, as a share of its width, at which lids must be generated. Open eyes measure about .3.
LIDS_MOVED: Final = 0.15


def _ellipse(points: int, x: float, y: float, width: float, height: float) -> Tensor:
    angle = torch.linspace(0, 2 * torch.pi, points + 1)[:points]
    return torch.stack([x - width / 2 * angle.cos(), y - height / 2 * angle.sin()], 1)


#: Mean landmarks of a framed face over the corpus, in [-1, 1], for footage without landmarks.
FRAMED_LANDMARKS: Final = torch.cat(
    [
        _ellipse(34, 0.02, 0.1, 0.95, 1.2)[17:].flip(0),
        _ellipse(19, 0.02, -0.1, 0.8, 0.5),
        _ellipse(6, -0.20, -0.19, 0.18, 0.06),
        _ellipse(6, 0.25, -0.19, 0.18, 0.06),
        _ellipse(20, 0.03, 0.32, 0.36, 0.17),
    ]
).numpy()


def gaussian(points: Tensor, spread: float, size_px: int) -> Tensor:
    """Return a Gaussian mask centred on landmarks.

    Args:
        points: (B, P, 2) in [-1, 1].
        spread: standard deviation, as a share of the points' width.
        size_px: side of the mask.

    Returns:
        (B, 1, size_px, size_px), 1 at the centre.
    """
    axis = (torch.arange(size_px, device=points.device) * 2 + 1) / size_px - 1
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    radius = spread * (points[:, :, 0].amax(1) - points[:, :, 0].amin(1)).clamp_min(0.05)
    distance = (grid[None] - points.mean(1)[:, None, None]).square().sum(-1)
    return torch.exp(-distance / (2 * radius[:, None, None] ** 2))[:, None]


def face_weight(landmarks: Tensor, size_px: int) -> Tensor:
    """Return the weight of pixels: 1, rising to 11 on the mouth and to 4 on the eyes.

    Args:
        landmarks: (B, 68, 2) in [-1, 1], Multi-PIE order.
        size_px: side of the picture.

    Returns:
        (B, 1, size_px, size_px).
    """
    left, right = landmarks[:, LEFT_EYE], landmarks[:, RIGHT_EYE]
    eyes = gaussian(left, 0.5, size_px) + gaussian(right, 0.5, size_px)
    return 1 + 10 * gaussian(landmarks[:, MOUTH], 0.4, size_px) + 3 * eyes


def picture_loss(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Compute weighted L1 at three scales, plus L1 of the gradients, which keeps edges sharp."""
    loss = (weight * (picture - target).abs()).mean()
    for factor in (2, 4):
        small, wanted = F.avg_pool2d(picture, factor), F.avg_pool2d(target, factor)
        loss = loss + 0.5 * (F.avg_pool2d(weight, factor) * (small - wanted).abs()).mean()
    for axis in (-1, -2):
        loss = loss + (weight.narrow(axis, 1, weight.shape[axis] - 1) * (picture - target).diff(dim=axis).abs()).mean()
    return loss


def threshold_loss(picture: Tensor, target: Tensor) -> Tensor:
    """Compute the paper's mask loss: root mean square difference of the frames that differ by more than TAU."""
    difference = picture - target
    root = difference.square().mean(dim=(1, 2, 3)).add(1e-8).sqrt()
    return (root * (difference.abs().mean(dim=(1, 2, 3)) > TAU)).mean()


def displacement_error(displacement: Tensor, source: Tensor, driving: Tensor) -> Tensor:
    """Return the error of a deformation at the driving landmarks: (B, 68, 2).

    Args:
        displacement: (B, 2, H, W), the mixed deformation, in units of half the side.
        source: (B, 68, 2), landmarks in [-1, 1].
        driving: (B, 68, 2), landmarks in [-1, 1].
    """
    found = F.grid_sample(displacement, driving[:, :, None], padding_mode="border", align_corners=False)[..., 0].mT
    return found - (source - driving)


def landmark_weight(landmarks: Tensor, known: Tensor) -> Tensor:
    """Return the weight of landmarks (B, 68, 2) in [-1, 1]: (B, 68), 0 outside the picture and where `known` (B,) is 0.

    Lips have weight 2. The jaw line has weight .2, because it can be hidden in a turned head.
    """
    weight = torch.ones(68, device=landmarks.device)
    weight[:17] = 0.2
    weight[MOUTH] = 2.0
    weighed: Tensor = (landmarks.abs().amax(-1) < 1) * weight * known[:, None]
    return weighed


def landmark_loss(displacement: Tensor, source: Tensor, driving: Tensor, known: Tensor) -> Tensor:
    """Supervise the deformation: at a driving landmark it must point to the source's landmark.

    Args:
        displacement: (B, 2, H, W), the mixed deformation.
        source: (B, 68, 2), landmarks in [-1, 1].
        driving: (B, 68, 2), landmarks in [-1, 1].
        known: (B,), 0 where the landmarks are a guess.
    """
    seen = landmark_weight(driving, known)
    return (seen[..., None] * displacement_error(displacement, source, driving).abs()).mean()


def opening_loss(displacement: Tensor, source: Tensor, driving: Tensor, known: Tensor) -> Tensor:
    """Supervise the opening of lips, jaw and lids, without the head's motion.

    Args:
        displacement: (B, 2, H, W), the mixed deformation.
        source: (B, 68, 2), landmarks in [-1, 1].
        driving: (B, 68, 2), landmarks in [-1, 1].
        known: (B,), 0 where the landmarks are a guess.
    """
    error = displacement_error(displacement, source, driving)
    return (known[:, None, None] * (error[:, BELOW] - error[:, ABOVE]).abs()).mean()


def jaw_loss(displacement: Tensor, source: Tensor, driving: Tensor) -> Tensor:
    """Supervise the opening of lips and jaw alone, as `opening_loss` does."""
    error = displacement_error(displacement, source, driving)
    return (error[:, BELOW_JAW] - error[:, ABOVE_JAW]).abs().mean()


def lid_motion_mask(source: Tensor, driving: Tensor, size_px: int) -> Tensor:
    """Return a mask of eyes that open or close, which cannot be warped from the source.

    Args:
        source: (B, 68, 2), landmarks in [-1, 1].
        driving: (B, 68, 2), landmarks in [-1, 1].
        size_px: side of the mask.

    Returns:
        (B, 1, size_px, size_px) in [0, 1], 1 at the centre of a driving eye whose opening has changed by `LIDS_MOVED`.
    """
    masks = []
    for eye in (LEFT_EYE, RIGHT_EYE):
        before, after = source[:, eye], driving[:, eye]
        width = (after[:, 3] - after[:, 0]).norm(dim=-1).clamp_min(1e-3)
        changed = ((_opening(after) - _opening(before)).abs() / width / LIDS_MOVED).clamp(max=1)
        masks.append(changed[:, None, None, None] * gaussian(after, 0.5, size_px))
    return torch.maximum(*masks)


def _opening(eye: Tensor) -> Tensor:
    """Return the distance of the lids (B, 6, 2) of an eye: (B,)."""
    opening: Tensor = (eye[:, [5, 4]] - eye[:, [1, 2]]).norm(dim=-1).mean(1)
    return opening


def mouth_mask(driving: Tensor, size_px: int) -> Tensor:
    """Return a mask of the mouth (B, 1, size_px, size_px) in [0, 1], from driving landmarks (B, 68, 2) in [-1, 1]."""
    return gaussian(driving[:, MOUTH], 0.35, size_px)


def parted_lips_mask(landmarks: Tensor, size_px: int) -> Tensor:
    """Return a mask of what is seen between the lips, with soft edges.

    Args:
        landmarks: (B, 68, 2) in [-1, 1].
        size_px: side of the mask.

    Returns:
        (B, 1, size_px, size_px) in [0, 1]; about 0 for shut lips.
    """
    axis = (torch.arange(size_px, device=landmarks.device) * 2 + 1) / size_px - 1
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    inside = torch.zeros(len(landmarks), size_px, size_px, dtype=torch.bool, device=landmarks.device)
    outline = landmarks[:, INNER_LIPS, None, None]
    # A point is inside a polygon if a ray from it crosses an odd number of sides.
    for start, end in zip(outline.unbind(1), outline.roll(-1, 1).unbind(1), strict=True):
        (x0, y0), (x1, y1) = start.unbind(-1), end.unbind(-1)
        across = x0 + (y - y0) * (x1 - x0) / torch.where(y1 == y0, 1e-6, y1 - y0)
        inside ^= ((y0 > y) != (y1 > y)) & (x < across)
    margin = LIP_EDGE_PX // 2
    wide = F.max_pool2d(inside[:, None].float(), LIP_EDGE_PX, 1, margin)
    return F.avg_pool2d(wide, LIP_EDGE_PX, 1, margin, count_include_pad=False)


def occlusion_loss(occlusion: Tensor, warped: Tensor, target: Tensor, free: Tensor) -> Tensor:
    """Penalise generated pixels, strongly where warping is right, weakly where it is far off.

    Without it the decoder generates whole blurred faces over sharp pixels that are slightly displaced.

    Args:
        occlusion: (B, 1, H, W) in [0, 1].
        warped: (B, 3, H, W) in [-1, 1].
        target: (B, 3, H, W) in [-1, 1].
        free: (B, 1, H, W) in [0, 1], mask of what cannot be warped: mouths, and lids that move.
    """
    off = (warped - target).abs().mean(dim=1, keepdim=True)
    price = LEAST_PRICE + (1 - LEAST_PRICE) * torch.exp(-off / FREE_ERROR)
    return (occlusion * price * (1 - free)).mean()


def lid_coverage_loss(occlusion: Tensor, lids: Tensor) -> Tensor:
    """Require generated pixels on eyes that open or close, by cross-entropy.

    Blinks are rare and small. The picture's gradient is scaled by the mask itself and never opens a mask near 0; the
    gradient of the cross-entropy does.

    Args:
        occlusion: (B, 1, H, W) in [0, 1].
        lids: (B, 1, H, W) in [0, 1], `lid_motion_mask`.
    """
    return -(lids * occlusion.clamp_min(1e-6).log()).mean()


def colour_loss(colour: Tensor, warped: Tensor, target: Tensor, weight: Tensor, free: Tensor) -> Tensor:
    """Supervise the generated colour wherever generated pixels are needed, visible or not.

    A mask near 0 passes almost no gradient to the colour behind it, and a wrong colour keeps the mask closed.

    Args:
        colour: (B, 3, H, W) in [-1, 1].
        warped: (B, 3, H, W), whose errors determine where generated pixels are needed beside `free`.
        target: (B, 3, H, W).
        weight: (B, 1, H, W), of `face_weight`.
        free: (B, 1, H, W) in [0, 1], mask of what cannot be warped: mouths, and lids that move.
    """
    off = (warped - target).abs().mean(dim=1, keepdim=True)
    needed = torch.maximum(1 - torch.exp(-off / FREE_ERROR), free)
    return (weight * needed * (colour - target).abs()).mean()


def chroma_loss(frame: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Compare colours without their luma, slightly blurred, in pictures (B, 3, H, W) with weights (B, 1, H, W)."""
    off = frame - target
    off = off - (off * off.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    return (weight * F.avg_pool2d(off, CHROMA_PX, 1, CHROMA_PX // 2).abs()).mean()
