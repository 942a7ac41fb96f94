"""Rendered frame pairs with exact flow and visibility; for training only.

A folder of NAME.npz, one scene each, with P pairs of frames `a` (source) and `b` (driving) of side S:

    a, b                       (P, S, S, 3) uint8
    flow                       (P, S, S, 2) fp16, px, x then y: pixel p of b shows what a has at p + flow; background: 0
    visible                    (P, S, S) bool: that point is visible in a too; True on background
    part, part_a               (P, S, S) uint8, what b and a show: an index into PARTS
    landmarks_a, landmarks_b   (P, 68, 2) px from the top left corner, Multi-PIE order
    depth_b                    (P, S, S) distance of what b shows along the view axis, 0 on background; optional
    split                      "train" or "heldout"; held-out scenes are skipped; optional

A file of one pair may leave the axis P out. Further keys are ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from dubline.models.layers import resize
from dubline.training.stage1.data import augment

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

#: Parts that a pixel can show, with the weight of their motion. Lips and eyes are small and matter most; background is
#: static; the inside of a mouth is mostly generated.
PART_WEIGHTS: Final = {
    "background": 0.3,
    "skin": 1.0,
    "lips": 8.0,
    "mouth": 1.0,
    "gums": 1.0,
    "teeth": 2.0,
    "eyes": 6.0,
    "lashes": 4.0,
    "brows": 3.0,
    "hair": 0.7,
    "clothes": 0.5,
    "glasses": 1.0,
    "beard": 2.0,
    "tongue": 1.0,
    "headwear": 0.7,
}
PARTS: Final = tuple(PART_WEIGHTS)
COLUMNS: Final = ("a", "b", "flow", "visible", "part", "part_a", "landmarks_a", "landmarks_b", "depth_b")
BACKGROUND: Final = PARTS.index("background")
INSIDE_MOUTH: Final = [PARTS.index(name) for name in ("mouth", "gums", "teeth", "tongue")]
#: Errors below this, in units of half the side (half a pixel of 256), have a quadratic loss.
PRECISE: Final = 0.004
#: Weight of visible pixels: lighting and shadows do not follow the flow, so a visible pixel may have to be generated.
VISIBLE_SHARE: Final = 0.25


class DensePair(NamedTuple):
    """A training batch with exact flow."""

    source: Tensor
    """(B, 3, S, S) in [-1, 1]."""
    driving: Tensor
    """(B, 3, S, S) in [-1, 1]."""
    displacement: Tensor
    """(B, 2, S, S), in units of half the side: `layers.warp(source, displacement)` is the driving frame where `weight`
    is 1, except for lighting."""
    weight: Tensor
    """(B, 1, S, S), 1 where the source shows the same point, else 0; 0 outside the recorded frame."""
    hidden: Tensor
    """(B, 1, S, S), 1 where the source does not show the point, which must be generated; 0 outside the recorded frame.
   """
    parts: Tensor
    """(B, 1, S, S) int64, what the driving frame shows: an index into PARTS."""
    source_landmarks: Tensor
    """(B, 68, 2) in [-1, 1]."""
    driving_landmarks: Tensor
    """(B, 68, 2) in [-1, 1]."""
    depth: Tensor
    """(B, 1, S, S), distance of what the driving frame shows; 0 where it is unknown."""


class Scene(NamedTuple):
    """The pairs of one file, at the training's size."""

    frames: NDArray[np.uint8]
    """(P, 2, S, S, 3), source then driving."""
    displacement: NDArray[np.float16]
    """(P, S, S, 2), in units of half the side."""
    hidden: NDArray[np.bool_]
    """(P, S, S)."""
    parts: NDArray[np.uint8]
    """(P, S, S)."""
    landmarks: NDArray[np.float32]
    """(P, 2, 68, 2) in [-1, 1]."""
    depth: NDArray[np.float16]
    """(P, S, S); zeros if the file has none."""


def read_scene(path: Path, size_px: int) -> Scene | None:
    """Read one file; None if it is held out."""
    with np.load(path) as file:
        if "split" in file and str(file["split"]) == "heldout":
            return None
        # Landmarks have an axis less than frames.
        single = file["a"].ndim == 3  # noqa: PLR2004 - (S, S, 3)
        columns = {key: file[key][None] if single else file[key] for key in COLUMNS if key in file}
    source, driving, part = columns["a"], columns["b"], columns["part"]
    side = driving.shape[1]
    # Nearest pixel: a mean of the motion of two surfaces is the motion of neither.
    nearest = (np.arange(size_px) * 2 + 1) * side // (2 * size_px)
    kept = np.ix_(np.arange(len(part)), nearest, nearest)
    uncovered = (part == BACKGROUND) & (columns["part_a"] != BACKGROUND)
    landmarks = np.stack([columns["landmarks_a"], columns["landmarks_b"]], axis=1)
    return Scene(
        np.stack([_shrink(source, size_px), _shrink(driving, size_px)], axis=1),
        (columns["flow"][kept].astype(np.float32) * (2 / side)).astype(np.float16),
        (~columns["visible"] | uncovered)[kept],
        part[kept],
        landmarks.astype(np.float32) * (2 / side) - 1,
        columns.get("depth_b", np.zeros(part.shape))[kept].astype(np.float16),
    )


def _shrink(frames: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Resize (P, S, S, 3) uint8 to another side."""
    if frames.shape[1] == size_px:
        return frames
    planes = rearrange(torch.from_numpy(frames), "p h w c -> p c h w").float()
    smaller = resize(planes, size_px, size_px).round().clamp(0, 255).byte()
    return rearrange(smaller, "p c h w -> p h w c").contiguous().numpy()


class DensePairSampler:
    """Samples pairs with exact flow, with random cameras and colours, each scene with equal probability.

    A pair of 256 px takes 0.8 MB of memory.

    Args:
        folder: of NAME.npz.
        size_px: side of the training frames.
        limit: maximum number of pairs in memory.

    Raises:
        FileNotFoundError: the folder has no scene to train on.
    """

    def __init__(self, folder: Path, size_px: int, limit: int = 5000) -> None:
        self.scenes: list[Scene] = []
        self.count = 0
        for path in sorted(folder.glob("*.npz")):
            if self.count >= limit:
                break
            scene = read_scene(path, size_px)
            if scene is not None:
                self.scenes.append(scene)
                self.count += len(scene.frames)
        if not self.scenes:
            raise FileNotFoundError(f"{folder} has no NAME.npz of frame pairs to train on")
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start a new random sequence; a resumed run must not repeat its first pairs."""
        self.random = np.random.default_rng([seed, 1])
        self.generator = torch.Generator().manual_seed(seed + 1)

    def draw(self, batch: int, device: torch.device) -> DensePair:
        """Draw a batch of augmented pairs."""
        rows = []
        for scene in self.random.integers(len(self.scenes), size=batch):
            values = self.scenes[scene]
            row = self.random.integers(len(values.frames))
            rows.append([value[row] for value in values])
        scenes = Scene(*(np.stack(column) for column in zip(*rows, strict=True)))
        cameras = augment.random_cameras(batch, self.generator).to(device)
        colours = augment.random_colours(batch, self.generator).to(device)
        pair = to_pair(scenes, cameras)
        return pair._replace(
            source=augment.recolour(pair.source, colours), driving=augment.recolour(pair.driving, colours)
        )


def to_pair(scenes: Scene, cameras: Tensor) -> DensePair:
    """Resample pairs with cameras (B, 2, 3).

    A camera shows at p what the recording has at q = R p + t. Where the recording moves q by d(q), the view moves p by
    R^-1 d(R p + t): the shift cancels.
    """
    device = cameras.device
    frames = rearrange(torch.from_numpy(scenes.frames).to(device), "b f h w c -> f b c h w").float() / 127.5 - 1
    source, driving = (augment.view(each, cameras) for each in frames)
    field = rearrange(torch.from_numpy(scenes.displacement).to(device), "b h w xy -> b xy h w")
    moved = _nearest(field.float(), cameras)
    displacement = torch.linalg.solve(cameras[:, :, :2], moved.flatten(2)).view_as(moved)
    labels = np.stack([scenes.parts, scenes.hidden, np.ones_like(scenes.parts)], axis=1)
    parts, hidden, recorded = _nearest(torch.from_numpy(labels).to(device).float(), cameras).split(1, dim=1)
    # Points outside of the source's view are not visible either.
    inside = (_pixel_positions(displacement) + displacement).abs().amax(dim=1, keepdim=True) <= 1
    visible = (1 - hidden) * inside
    landmarks = torch.from_numpy(scenes.landmarks).to(device)
    return DensePair(
        source,
        driving,
        displacement,
        recorded * visible,
        recorded * (1 - visible),
        parts.round().long(),
        augment.project(landmarks[:, 0], cameras),
        augment.project(landmarks[:, 1], cameras),
        _nearest(torch.from_numpy(scenes.depth).to(device).float()[:, None], cameras),
    )


def _nearest(values: Tensor, cameras: Tensor) -> Tensor:
    """Resample values (B, C, H, W) with cameras without interpolation; 0 outside the frame."""
    grid = F.affine_grid(cameras, list(values.shape), align_corners=False)
    return F.grid_sample(values, grid, mode="nearest", padding_mode="zeros", align_corners=False)


def _pixel_positions(field: Tensor) -> Tensor:
    """Return the pixel positions of (B, 2, H, W) in [-1, 1]: (2, H, W)."""
    height, width = field.shape[-2:]
    ys = (torch.arange(height, device=field.device) * 2 + 1) / height - 1
    xs = (torch.arange(width, device=field.device) * 2 + 1) / width - 1
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"))


def flow_loss(mixed: Tensor, pair: DensePair) -> Tensor:
    """Compute the distance of a deformation from the exact one where it is known; lips and eyes weigh more.

    Args:
        mixed: (B, 2, h, w), the mixed displacement, in units of half the side; it is enlarged as in the renderer.
        pair: the exact flow.

    Returns:
        The weighted mean distance, in units of half the side.
    """
    height, width = pair.displacement.shape[-2:]
    error = resize(mixed.float(), height, width) - pair.displacement
    distance = (error.square().sum(dim=1, keepdim=True) + PRECISE**2).sqrt() - PRECISE
    weight = pair.weight * pair.weight.new_tensor(tuple(PART_WEIGHTS.values()))[pair.parts]
    return (weight * distance).sum() / weight.sum().clamp_min(1)


def visibility_loss(occlusion: Tensor, pair: DensePair) -> Tensor:
    """Compute the cross-entropy of the occlusion mask against visibility, balanced between hidden and visible pixels.

    Visible pixels inside the mouth are excluded: they may be warped or generated.

    Args:
        occlusion: (B, 1, h, w) in [0, 1], 1 where the decoder generates pixels; of any size.
        pair: the visibility.
    """
    height, width = pair.hidden.shape[-2:]
    mask = resize(occlusion.float(), height, width).clamp(1e-3, 1 - 1e-3)
    inside = torch.isin(pair.parts, torch.tensor(INSIDE_MOUTH, device=pair.parts.device))
    shown = pair.weight * ~inside
    missed = -(pair.hidden * mask.log()).sum() / pair.hidden.sum().clamp_min(1)
    wasted = -(shown * (1 - mask).log()).sum() / shown.sum().clamp_min(1)
    return missed + VISIBLE_SHARE * wasted
