"""Carries a trained stage 2 over to another stage 1, whose latents say the same in other words.

What a linear map between the two stages' latents can say need not be learnt again: the map is fitted on clips that both
have encoded and goes into the denoiser's first and last layers. What it cannot say is left to training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from dubline.training.cli_errors import UsageError
from dubline.training.ridge import regress
from dubline.training.stage2.encoded_clips import APPEARANCE_STEP, fit_statistics

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dubline.models.stage2.diffusion import Diffusion
    from dubline.training.stage2.encoded_clips import EncodedClip

#: Motion is relative to a source: so many frames lie between those that stand for one.
SOURCE_STEP: Final = 40
#: What the fit of sources costs in weights, as a share of their squares: there are fewer persons than values.
RIDGE: Final = 0.02


@torch.no_grad()
def align_latents(diffusion: Diffusion, before: Sequence[EncodedClip], after: Sequence[EncodedClip]) -> float:
    """Make a stage 2 that was trained on latents `before` speak in latents `after`, and set its statistics.

    Args:
        diffusion: changed in place.
        before: clips as the stage 1 encoded them that it was trained on.
        after: as the new stage 1 encodes them.

    Returns:
        The share of the old motion's variance that the new latents say.

    Raises:
        UsageError: no clip is in both.
    """
    former = {clip.name: clip for clip in before}
    both = [(former[clip.name], clip) for clip in after if clip.name in former]
    if not both:
        raise UsageError("none of these clips was encoded by the former stage 1: give the encoded.pt of its run")
    old_motion = torch.cat([part for clip, _ in both for part in _motions(diffusion, clip)])
    old_person = torch.cat([_person(diffusion, clip) for clip, _ in both])
    fit_statistics(diffusion, list(after))
    new_motion = torch.cat([part for _, clip in both for part in _motions(diffusion, clip)])
    new_person = torch.cat([_person(diffusion, clip) for _, clip in both])
    # Noise is to stay as it is, so the map may only turn: orthogonal Procrustes.
    left, _, right = torch.linalg.svd(old_motion.mT @ new_motion)
    rotation = left @ right
    _rotate_motion(diffusion, rotation)
    _map_person(diffusion, *regress(new_person, old_person, RIDGE * len(new_person)))
    return 1 - float((old_motion - new_motion @ rotation.mT).square().sum() / old_motion.square().sum())


def _motions(diffusion: Diffusion, clip: EncodedClip) -> Iterator[Tensor]:
    """Whitened motion (T, K) relative to some of a clip's frames."""
    latents = clip.latents.float().to(diffusion.source_mean.device)
    for source in latents[::SOURCE_STEP]:
        yield diffusion.whitening(latents, source)


def _person(diffusion: Diffusion, clip: EncodedClip) -> Tensor:
    """What the denoiser is told of a source, in its order: appearance, then latent (T', A + M)."""
    device = diffusion.source_mean.device
    latents, appearances = clip.latents[::APPEARANCE_STEP].float().to(device), clip.appearance.float().to(device)
    latent, appearance = diffusion.standardise(latents, appearances)
    # Without the appearance code it is told of the latent alone.
    return torch.cat([appearance, latent] if diffusion.params.uses_appearance else [latent], dim=-1)


def _rotate_motion(diffusion: Diffusion, rotation: Tensor) -> None:
    """Let the denoiser read and write motion in a turned basis: old = turn @ new, (K, K)."""
    denoiser, whitened = diffusion.denoiser, len(rotation)
    denoiser.input_projection.weight.copy_(denoiser.input_projection.weight @ rotation)
    past = denoiser.previous_projection.weight[:, :whitened]
    past.copy_(past @ rotation)
    denoiser.output_projection.weight.copy_(rotation.mT @ denoiser.output_projection.weight)
    denoiser.output_projection.bias.copy_(rotation.mT @ denoiser.output_projection.bias)


def _map_person(diffusion: Diffusion, weight: Tensor, offset: Tensor) -> None:
    """Let the denoiser be told of a source in new values: old = weight @ new + offset."""
    person = diffusion.denoiser.identity
    told = person.weight[:, -len(weight) :]
    person.bias.add_(told @ offset)
    told.copy_(told @ weight)
