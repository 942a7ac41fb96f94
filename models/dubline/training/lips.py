"""Reads lips off evaluated videos: `python models/dubline/training/lips.py runs/tiny/eval`.

Stands alone: MediaPipe 0.10.21, the last release with its models in the wheel, needs numpy < 2, so it lives in an
environment of its own (`pip install mediapipe==0.10.21 av`). Imports nothing of dubline.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import mediapipe
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# MediaPipe's face mesh: middle of the inner upper and lower lip, top of the forehead, chin.
UPPER_LIP, LOWER_LIP, FOREHEAD, CHIN = 13, 14, 10, 152
MAX_LAG = 15
MS_PER_FRAME = 40


def gaps(path: Path, mesh: Any) -> NDArray[np.float64]:
    """Inner-lip gap over face height for every frame; NaN where no face is found. (T,)."""
    values = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            # The mesh was trained on larger faces than a 128 px frame shows.
            picture = frame.reformat(384, 384, "rgb24", interpolation="BICUBIC").to_ndarray()
            found = mesh.process(picture).multi_face_landmarks
            if not found:
                values.append(np.nan)
                continue
            points = np.array([(point.x, point.y) for point in found[0].landmark])
            height = np.linalg.norm(points[FOREHEAD] - points[CHIN])
            values.append(float(np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP]) / height))
    return np.array(values)


def correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson correlation where both are known; 0 when one does not move."""
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < 2 or a.std() < 1e-9 or b.std() < 1e-9:  # noqa: PLR2004 - two points make a line
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(a: NDArray[np.float64], b: NDArray[np.float64]) -> int:
    """By how many frames `a` comes after `b`."""
    lags = range(-MAX_LAG, MAX_LAG + 1)
    spans = [(a[max(0, lag) : len(a) + min(0, lag)], b[max(0, -lag) : len(b) + min(0, -lag)]) for lag in lags]
    return int(lags[int(np.argmax([correlation(*span) for span in spans]))])


def main(folder: Path) -> None:
    """Print the mean scores of a folder that `dubline.training.evaluate` filled."""
    mesh = mediapipe.solutions.face_mesh.FaceMesh(refine_landmarks=True, max_num_faces=1)
    rows = []
    for path in sorted(folder.glob("*.npz")):
        reference = np.load(path)
        true, loudness = np.maximum(0, reference["aperture_mm"]), reference["envelope"]
        made, shown = gaps(path.with_suffix(".mp4"), mesh), gaps(path.with_suffix(".truth.mp4"), mesh)
        row = (
            correlation(made, true),
            correlation(loudness, true),
            correlation(shown, true),
            best_lag(made, true) * MS_PER_FRAME,
            float(np.isfinite(made).mean()),
            float(np.nanstd(made) / np.nanstd(shown)),
        )
        rows.append(row)
        sys.stdout.write(f"{path.stem}  " + "  ".join(f"{value:7.3f}" for value in row) + "\n")
    names = ("lip_correlation", "puppet_correlation", "truth_correlation", "av_lag_ms", "faces_found", "opening_ratio")
    means = np.mean(rows, axis=0)
    means[3] = np.median([row[3] for row in rows])
    sys.stdout.write(" ".join(f"{name}={value:.3f}" for name, value in zip(names, means, strict=True)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
