"""Adapts a trained mouth-eye refiner to the latents of another stage 1.

The refiner reads motion through one linear layer. A linear map from the new latents to the former ones, fitted on
frames that both motion encoders encode, is folded into this layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import torch

from dubline.training.cli_errors import UsageError
from dubline.training.ridge import regress
from dubline.training.stage1.face_regions import fit_face_regions

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.stage1.autoencoder import Autoencoder
    from dubline.models.stage1.mouth_eye_refiner import MouthEyeRefiner
    from dubline.training.stage1.data.pairs import PairSampler

#: Number of frames, each with a random camera.
FRAMES: Final = 7200
BATCH: Final = 24
#: Every n-th frame is used for validation, the others for the fit.
VALIDATION_EVERY: Final = 7
#: Ridge penalty, as a share of a latent's mean variance. Values from .0001 to .01 give nearly equal results.
RIDGE: Final = 1e-3


@torch.no_grad()
def align_refiner(network: Autoencoder, former: Autoencoder, sampler: PairSampler) -> float:
    """Copy the mouth-eye refiner of another network and adapt it to the network's own latents.

    Args:
        network: its mouth-eye refiner is replaced in place.
        former: the network that the mouth-eye refiner was trained with.
        sampler: of clips.

    Returns:
        The share of variance of the refiner's former readings that the new latents explain, on validation frames.

    Raises:
        UsageError: one of the networks has no mouth-eye refiner.
    """
    if network.mouth_eye_refiner is None or former.mouth_eye_refiner is None:
        raise UsageError("both networks need a mouth-eye refiner")
    trained = former.mouth_eye_refiner.state_dict()
    new, old = _encode(network, former, sampler)
    fitted = torch.arange(len(new), device=new.device) % VALIDATION_EVERY > 0
    weight, offset = regress(new[fitted], old[fitted], RIDGE * float(new.var(0).mean()) * len(new))
    network.mouth_eye_refiner.load_state_dict(trained)
    estimated = new[~fitted] @ weight.mT + offset
    explained = _explained_share(network.mouth_eye_refiner, old[~fitted], estimated)
    _fold_map(network.mouth_eye_refiner, weight, offset)
    fit_face_regions(network, sampler)
    return explained


def _encode(network: Autoencoder, former: Autoencoder, sampler: PairSampler) -> tuple[Tensor, Tensor]:
    """Encode the same frames with both networks: latents (FRAMES, M) each."""
    new, old = [], []
    for _ in range(FRAMES // BATCH):
        frames = sampler.draw(BATCH, 1).sources.contiguous(memory_format=torch.channels_last)
        new.append(network.encode_motion(frames).float())
        old.append(former.encode_motion(frames).float())
    return torch.cat(new), torch.cat(old)


def _explained_share(mouth_eye_refiner: MouthEyeRefiner, wanted: Tensor, estimated: Tensor) -> float:
    """Return R2 of the refiner's readings of estimated latents (N, M) in place of the wanted ones."""
    motion = mouth_eye_refiner.readings.weight[:, : wanted.shape[1]]
    error, deviation = (wanted - estimated) @ motion.mT, (wanted - wanted.mean(0)) @ motion.mT
    return 1 - float(error.square().sum() / deviation.square().sum())


def _fold_map(mouth_eye_refiner: MouthEyeRefiner, weight: Tensor, offset: Tensor) -> None:
    """Fold old = weight @ new + offset into the layer that reads latents; in differences the offset cancels."""
    readings = mouth_eye_refiner.readings
    motion, change = cast("tuple[Tensor, Tensor]", readings.weight.split(len(weight), dim=1))
    readings.bias.add_(motion @ offset)
    readings.weight.copy_(torch.cat([motion @ weight, change @ weight], dim=1))
