"""Scores on frame pairs with exact flow: the upper bound of warping beside the trained stage 1.

Reads npz files as `stage1.data.exact_geometry` does, or with one pair each: a, b (..., S, S, 3) uint8, flow (..., S, S,
2) px; pixel p of b shows what a has at p + flow. The optional `landmarks_b` (..., 68, 2) px gives the face box; without
it the box contains all moving pixels. Files whose `split` is given and not "heldout" are skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from dubline.training.corpus import to_frames
from dubline.training.evaluation.generation.motion_renderer import to_pixels
from dubline.training.evaluation.scores.picture import face_box, means, pair_scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.training.evaluation.generation.motion_renderer import MotionRenderer
    from dubline.training.evaluation.scores.sharpness import Box

CPU: Final = torch.device("cpu")


class KnownPair(NamedTuple):
    """A frame pair with exact flow."""

    source: NDArray[np.uint8]
    """(S, S, 3)."""
    driving: NDArray[np.uint8]
    """(S, S, 3)."""
    warped: NDArray[np.uint8]
    """The source warped by the exact flow, (S, S, 3)."""
    box: Box
    """Face box of the driving frame."""


def read_pairs(path: Path, size_px: int) -> Iterator[KnownPair]:
    """Yield the held-out pairs of one file, scaled to the side of the networks."""
    with np.load(path) as file:
        if "split" in file and str(file["split"]) != "heldout":
            return
        side = file["a"].shape[-2]
        sources, drivings = (file[key].reshape(-1, side, side, 3) for key in "ab")
        flows = file["flow"].reshape(-1, side, side, 2).astype(np.float32)
        landmarks = file["landmarks_b"].reshape(-1, 68, 2) if "landmarks_b" in file else [None] * len(flows)
    for a, b, flow, points in zip(sources, drivings, flows, landmarks, strict=True):
        frames = torch.cat([to_frames(np.stack([a, b]), CPU), _warped(a, flow)])
        small = to_pixels(F.interpolate(frames, size=(size_px, size_px), mode="area"))
        if points is None:
            moved = np.argwhere(np.abs(flow).sum(-1) > 0)[:, ::-1]
            points = moved if len(moved) else np.array([[0, 0], [side, side]])  # noqa: PLW2901 - default without landmarks
        box = face_box(np.asarray(points, np.float32) * 2 / side - 1, size_px)
        yield KnownPair(small[0], small[1], small[2], box)


def _warped(picture: NDArray[np.uint8], flow: NDArray[np.float32]) -> torch.Tensor:
    """Sample a picture (S, S, 3) at p + flow (S, S, 2): (1, 3, S, S) in [-1, 1]."""
    side = picture.shape[0]
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1
    grid = torch.from_numpy(np.stack(np.meshgrid(axis, axis), -1) + 2 * flow / side)[None]
    return F.grid_sample(to_frames(picture[None], CPU), grid, padding_mode="border", align_corners=False)


def dense_scores(renderer: MotionRenderer, paths: Iterable[Path]) -> dict[str, dict[str, float]]:
    """Average picture scores of the still frame, the reconstruction and the exact flow; {} without held-out pairs."""
    size_px = renderer.networks.preset.size_px
    rows: dict[str, list[dict[str, float]]] = {"still frame": [], "own motion": [], "exact flow": []}
    for path in paths:
        for pair in read_pairs(path, size_px):
            motion = renderer.encode_motion(pair.driving[None])
            rendered = next(renderer.render(renderer.encode_source(pair.source), motion))[0]
            for row, picture in zip(rows, (pair.source, rendered, pair.warped), strict=True):
                rows[row].append(pair_scores(picture, pair.driving, pair.box))
    if not rows["still frame"]:
        return {}
    scores = {row: means(listed) for row, listed in rows.items()}
    for listed in scores.values():
        listed["face_gain_db"] = listed["face_psnr"] - scores["still frame"]["face_psnr"]
    return scores
