"""Carries a trained mouth-eye refiner over to another stage 1, whose latents say the same in other words.

What it hears of the motion goes through one linear layer; that is told the old words by a linear map from the new ones,
fitted on frames that both motion encoders read.
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

#: Frames to fit to, each under a camera of its own; every so many of them only tell how well it went.
FRAMES: Final = 7200
BATCH: Final = 24
CHECK: Final = 7
#: What the fit costs in weights, as a share of a latent's mean variance. From .0001 to .01 changed next to nothing.
RIDGE: Final = 1e-3


@torch.no_grad()
def align_refiner(network: Autoencoder, former: Autoencoder, sampler: PairSampler) -> float:
    """Give a network the mouth-eye refiner of another one, which hears the network's own latents from now on.

    Args:
        network: changed in place: its mouth-eye refiner, and nothing else.
        former: the one that the mouth-eye refiner was trained with.
        sampler: clips to draw frames from.

    Returns:
        The share of variance of the mouth-eye refiner's former readings that the new latents explain, on frames that
        the alignment was not fitted to.

    Raises:
        UsageError: one of them has no mouth-eye refiner.
    """
    if network.mouth_eye_refiner is None or former.mouth_eye_refiner is None:
        raise UsageError("there is no mouth-eye refiner to carry over: both networks need one")
    trained = former.mouth_eye_refiner.state_dict()
    now, then = _read(network, former, sampler)
    fitted = torch.arange(len(now), device=now.device) % CHECK > 0
    weight, offset = regress(now[fitted], then[fitted], RIDGE * float(now.var(0).mean()) * len(now))
    network.mouth_eye_refiner.load_state_dict(trained)
    augmented = then[~fitted], now[~fitted] @ weight.mT + offset
    said = _explained_share(network.mouth_eye_refiner, *augmented)
    _map_readings(network.mouth_eye_refiner, weight, offset)
    fit_face_regions(network, sampler)
    return said


def _read(network: Autoencoder, former: Autoencoder, sampler: PairSampler) -> tuple[Tensor, Tensor]:
    """The same frames' latents (FRAMES, M) by both networks."""
    now, then = [], []
    for _ in range(FRAMES // BATCH):
        frames = sampler.draw(BATCH, 1).sources.contiguous(memory_format=torch.channels_last)
        now.append(network.encode_motion(frames).float())
        then.append(former.encode_motion(frames).float())
    return torch.cat(now), torch.cat(then)


def _explained_share(mouth_eye_refiner: MouthEyeRefiner, wanted: Tensor, told: Tensor) -> float:
    """R2 of what a mouth-eye refiner reads off latents (N, M) if it is told others in their place."""
    motion = mouth_eye_refiner.readings.weight[:, : wanted.shape[1]]
    missed, all_of_it = (wanted - told) @ motion.mT, (wanted - wanted.mean(0)) @ motion.mT
    return 1 - float(missed.square().sum() / all_of_it.square().sum())


def _map_readings(mouth_eye_refiner: MouthEyeRefiner, weight: Tensor, offset: Tensor) -> None:
    """Let it read latents in new values, old = weight @ new + offset; of a difference the offset goes."""
    readings = mouth_eye_refiner.readings
    motion, change = cast("tuple[Tensor, Tensor]", readings.weight.split(len(weight), dim=1))
    readings.bias.add_(motion @ offset)
    readings.weight.copy_(torch.cat([motion @ weight, change @ weight], dim=1))
