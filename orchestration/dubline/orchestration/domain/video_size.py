"""The factor by which a portrait is scaled for its video: within 1080 x 1920, or to a chosen height."""

from __future__ import annotations

from typing import Final

SHORT_SIDE_PX: Final = 1080
LONG_SIDE_PX: Final = 1920


def scale(width: int, height: int, height_px: int | None = None) -> float:
    """Return the factor by which a portrait is scaled for its video.

    Args:
        width: of the upright portrait, px.
        height: of the upright portrait, px.
        height_px: of the video, unless its width would exceed `LONG_SIDE_PX`; None: the portrait's own size, reduced
            where it exceeds `SHORT_SIDE_PX` x `LONG_SIDE_PX`.
    """
    if height_px is not None:
        return min(height_px / height, LONG_SIDE_PX / width)
    return min(1.0, SHORT_SIDE_PX / min(width, height), LONG_SIDE_PX / max(width, height))
