"""Scores pictures against the true ones: PSNR and SSIM, over all and inside the face box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Box = tuple[slice, slice]

#: Every fourth frame is scored: neighbours tell the same.
STRIDE: Final = 4
FACE_MARGIN: Final = 0.1
#: A still that equals the truth has no finite PSNR; no codec and no network comes near this one.
MAX_PSNR_DB: Final = 100.0


def face_box(landmarks: NDArray[np.float32], side: int) -> Box:
    """Rows and columns that hold landmarks (..., 2) in [-1, 1], with a twentieth of the side for margin."""
    points = landmarks.reshape(-1, 2)
    low, high = points.min(0) - FACE_MARGIN, points.max(0) + FACE_MARGIN
    pixels = ((np.stack([low, high]) + 1) / 2 * side).astype(int).clip(0, side)
    return slice(pixels[0, 1], pixels[1, 1]), slice(pixels[0, 0], pixels[1, 0])


def pair_scores(picture: NDArray[np.uint8], truth: NDArray[np.uint8], box: Box) -> dict[str, float]:
    """`psnr`, `ssim` and `face_psnr` of one picture (H, W, 3) against the true one."""
    return {
        "psnr": _psnr(truth, picture),
        "ssim": float(structural_similarity(truth, picture, channel_axis=2)),
        "face_psnr": _psnr(truth[box], picture[box]),
    }


def video_scores(pictures: NDArray[np.uint8], truth: NDArray[np.uint8], box: Box) -> dict[str, float]:
    """Mean over a video (T, H, W, 3), leaving out its first frame, which is the source itself."""
    pairs = zip(pictures[STRIDE::STRIDE], truth[STRIDE::STRIDE], strict=True)
    return means([pair_scores(picture, true, box) for picture, true in pairs])


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Mean of every key over rows that share their keys; {} without rows."""
    return {key: float(np.nanmean([row[key] for row in rows])) for key in (rows[0] if rows else ())}


def _psnr(truth: NDArray[np.uint8], picture: NDArray[np.uint8]) -> float:
    if np.array_equal(truth, picture):
        return MAX_PSNR_DB
    return float(peak_signal_noise_ratio(truth, picture))
