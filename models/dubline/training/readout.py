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
NOTHING: Final = 1e-9


@torch.inference_mode()
def fit_readout(autoencoder: Autoencoder, whitening: Whitening, clips: Iterable[Clip]) -> LinearReadout:
    """Least squares of what the rig did on the whitened motion that the encoder sees, both about each clip's mean.

    `LinearReadout.lid_closure` is the other way round: motion on what the rig did.

    Stage 1's own geometry head reads absolute latents; about the mean, who somebody is stays out of it (docs/log.md).

    Args:
        autoencoder: its motion encoder is asked.
        whitening: of the stage 2 that speaks in its latents.
        clips: read one at a time; those without labels are left out. Without any, the rig reads nothing.
    """
    size, device = len(whitening.scale), whitening.scale.device
    variance = torch.zeros(size, size, dtype=torch.float64)
    shared = torch.zeros(size, len(READINGS), dtype=torch.float64)
    done = torch.zeros(len(READINGS), len(READINGS), dtype=torch.float64)
    count = 0
    for clip in clips:
        if clip.geometry is None:
            continue
        frames = to_frames(clip.frames[::FRAME_STEP], device)
        motion = _centred(whitening(autoencoder.encode_motion(frames), torch.zeros((), device=device)))
        read = _centred(readings_of(torch.from_numpy(clip.geometry[::FRAME_STEP])))
        variance, shared, done = variance + motion.T @ motion, shared + motion.T @ read, done + read.T @ read
        count += len(motion)
    readout = LinearReadout(size)
    if count:
        readout.weight.copy_(torch.linalg.solve(variance / count + RIDGE * torch.eye(size), shared / count).T)
        # The other way round: what motion shows of lids while all other readings stay.
        readout.lid_closure.copy_((torch.linalg.pinv(done, rtol=NOTHING, hermitian=True) @ shared.T)[LIDS])
    return readout


def readings_of(geometry: Tensor) -> Tensor:
    """Convert head parameters, `Clip.geometry` (T, 68), to `READINGS`: (T, 11)."""
    columns = [geometry[:, up].sum(1) - geometry[:, down].sum(1) for up, down in TRACKS]
    return torch.stack(columns, dim=1)


def _centred(values: Tensor) -> Tensor:
    """Subtract the mean over time from (T, N), in double precision on the CPU."""
    values = values.double().cpu()
    return values - values.mean(0)
