"""Picture scores against the true frames: PSNR and SSIM, over the whole frame and inside the face box."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Box = tuple[slice, slice]

#: Every fourth frame is scored: consecutive frames are nearly equal.
STRIDE: Final = 4
FACE_MARGIN: Final = 0.1
#: PSNR of equal pictures, which would be infinite; no codec and no network comes near this value.
MAX_PSNR_DB: Final = 100.0


def face_box(landmarks: NDArray[np.float32], side: int) -> Box:
    """Return the rows and columns around landmarks (..., 2) in [-1, 1], with a margin of a twentieth of the side."""
    points = landmarks.reshape(-1, 2)
    low, high = points.min(0) - FACE_MARGIN, points.max(0) + FACE_MARGIN
    pixels = ((np.stack([low, high]) + 1) / 2 * side).astype(int).clip(0, side)
    return slice(pixels[0, 1], pixels[1, 1]), slice(pixels[0, 0], pixels[1, 0])


def pair_scores(picture: NDArray[np.uint8], truth: NDArray[np.uint8], box: Box) -> dict[str, float]:
    """Compute `psnr`, `ssim` and `face_psnr` of one frame (H, W, 3) against the true one."""
    return {
        "psnr": _psnr(truth, picture),
        "ssim": float(structural_similarity(truth, picture, channel_axis=2)),
        "face_psnr": _psnr(truth[box], picture[box]),
    }


def video_scores(pictures: NDArray[np.uint8], truth: NDArray[np.uint8], box: Box) -> dict[str, float]:
    """Average over a video (T, H, W, 3) without its first frame, which is the source itself; {} up to 4 frames."""
    pairs = zip(pictures[STRIDE::STRIDE], truth[STRIDE::STRIDE], strict=True)
    return means([pair_scores(picture, true, box) for picture, true in pairs])


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Average each key over rows with equal keys; {} without rows."""
    return {key: float(np.nanmean([row[key] for row in rows])) for key in (rows[0] if rows else ())}


def _psnr(truth: NDArray[np.uint8], picture: NDArray[np.uint8]) -> float:
    if np.array_equal(truth, picture):
        return MAX_PSNR_DB
    return float(peak_signal_noise_ratio(truth, picture))
