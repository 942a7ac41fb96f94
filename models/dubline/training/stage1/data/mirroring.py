"""Mirrors training pairs: most recordings are of few people, whose mouths are not symmetric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.training.stage1.data.pairs import Pairs

#: Multi-PIE landmarks in a mirrored face: jaw, brows, nose, eyes, outer and inner lips.
ORDER: Final = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *range(27, 31),
    *range(35, 30, -1),
    *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
    *(*range(54, 47, -1), *range(59, 54, -1)),
    *(*range(64, 59, -1), *range(67, 64, -1)),
)


def mirrored(pairs: Pairs) -> Pairs:
    """Exchange left and right.

    Args:
        pairs: without exact flow, and without known parameters of a rig.

    Raises:
        ValueError: they have either.
    """
    if pairs.dense is not None or pairs.geometry_known.any():
        raise ValueError("exact flow and rig parameters cannot be mirrored: draw pairs without them")
    return pairs._replace(
        sources=pairs.sources.flip(-1),
        driving=pairs.driving.flip(-1),
        augmented=pairs.augmented.flip(-1),
        source_landmarks=_mirrored_points(pairs.source_landmarks),
        driving_landmarks=_mirrored_points(pairs.driving_landmarks),
    )


def _mirrored_points(points: Tensor) -> Tensor:
    """Mirror landmarks (N, 68, 2) in [-1, 1]."""
    return points[:, list(ORDER)] * points.new_tensor([-1, 1])
