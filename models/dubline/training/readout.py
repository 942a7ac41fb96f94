"""Fits the linear motion readout to labelled clips; needs the whitening of stage 2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from dubline.models.motion.readout import LIDS, READINGS, LinearReadout
from dubline.training.corpus import to_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from dubline.models.stage1.autoencoder import Autoencoder
    from dubline.models.stage2.diffusion import Whitening
    from dubline.training.corpus import Clip

#: For each of `READINGS`, the columns of `Clip.geometry` that are added and those that are subtracted. The first 57
#: columns are expressions in the order of ICT-FaceKit, left before right.
TRACKS: Final[tuple[tuple[list[int], list[int]], ...]] = (
    *(([column], []) for column in range(57, 63)),  # rotation, translation
    ([65], []),  # blink
    ([67], []),  # lip gap
    ([4, 5, 6, 7], [2, 3]),  # browInnerUp, browOuterUp; browDown
    ([49, 50], [35, 36]),  # mouthSmile; mouthFrown
    ([12, 13, 24, 25, 55, 56], [26, 27]),  # cheekSquint, eyeSquint, noseSneer; eyeWide
)
#: Consecutive frames are nearly equal: every fifth is used.
FRAME_STEP: Final = 5
#: Ridge, relative to the unit variance of whitened motion; for directions with little variance in the clips.
RIDGE: Final = 1e-3
#: Relative to the largest singular value; below it, two readings were never observed apart.
RELATIVE_CUTOFF: Final = 1e-9


@torch.inference_mode()
def fit_readout(autoencoder: Autoencoder, whitening: Whitening, clips: Iterable[Clip]) -> LinearReadout:
    """Fit the linear motion readout by least squares of rig parameters on whitened motion, both centred per clip.

    `LinearReadout.lid_closure` is fitted in the other direction: motion on rig parameters. Stage 1's geometry head
    predicts from absolute latents instead; centring per clip removes the identity (docs/log.md).

    Args:
        autoencoder: its motion encoder is used.
        whitening: of the stage 2 that was trained on its latents.
        clips: read one at a time; clips without labels are skipped. Without any, all weights are 0.
    """
    size, device = len(whitening.scale), whitening.scale.device
    variance = torch.zeros(size, size, dtype=torch.float64)
    covariance = torch.zeros(size, len(READINGS), dtype=torch.float64)
    label_variance = torch.zeros(len(READINGS), len(READINGS), dtype=torch.float64)
    count = 0
    for clip in clips:
        if clip.geometry is None:
            continue
        frames = to_frames(clip.frames[::FRAME_STEP], device)
        motion = _centred(whitening(autoencoder.encode_motion(frames), torch.zeros((), device=device)))
        labels = _centred(readings_of(torch.from_numpy(clip.geometry[::FRAME_STEP])))
        variance, covariance, label_variance = (
            variance + motion.T @ motion,
            covariance + motion.T @ labels,
            label_variance + labels.T @ labels,
        )
        count += len(motion)
    readout = LinearReadout(size)
    if count:
        readout.weight.copy_(torch.linalg.solve(variance / count + RIDGE * torch.eye(size), covariance / count).T)
        # Motion per lid closure with all other readings constant.
        readout.lid_closure.copy_(
            (torch.linalg.pinv(label_variance, rtol=RELATIVE_CUTOFF, hermitian=True) @ covariance.T)[LIDS]
        )
    return readout


def readings_of(geometry: Tensor) -> Tensor:
    """Convert rig parameters, `Clip.geometry` (T, 68), to `READINGS`: (T, 11)."""
    columns = [geometry[:, up].sum(1) - geometry[:, down].sum(1) for up, down in TRACKS]
    return torch.stack(columns, dim=1)


def _centred(values: Tensor) -> Tensor:
    """Subtract the mean over time from (T, N), in double precision on the CPU."""
    values = values.double().cpu()
    return values - values.mean(0)
