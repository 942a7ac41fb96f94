"""Adapts a trained stage 2 to the latents of another stage 1.

A linear map between the latents of both stages, fitted on clips that both have encoded, is folded into the denoiser's
first and last layers. What a linear map cannot express is left to training.
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

#: Interval of the frames that serve as sources of relative motion.
SOURCE_STEP: Final = 40
#: Ridge penalty of the source map, as a share of the squared values: there are fewer persons than values.
RIDGE: Final = 0.02


@torch.no_grad()
def align_latents(diffusion: Diffusion, before: Sequence[EncodedClip], after: Sequence[EncodedClip]) -> float:
    """Adapt a stage 2 trained on latents `before` to latents `after`, and set its statistics.

    Args:
        diffusion: changed in place.
        before: clips as encoded by the stage 1 that it was trained on.
        after: clips as encoded by the new stage 1.

    Returns:
        The share of the former motion's variance that the new latents explain.

    Raises:
        UsageError: no clip is in both.
    """
    former = {clip.name: clip for clip in before}
    both = [(former[clip.name], clip) for clip in after if clip.name in former]
    if not both:
        raise UsageError("the former stage 1 has encoded none of these clips: give the encoded.pt of its run")
    old_motion = torch.cat([part for clip, _ in both for part in _motions(diffusion, clip)])
    old_source = torch.cat([_source_codes(diffusion, clip) for clip, _ in both])
    fit_statistics(diffusion, list(after))
    new_motion = torch.cat([part for _, clip in both for part in _motions(diffusion, clip)])
    new_source = torch.cat([_source_codes(diffusion, clip) for _, clip in both])
    # The noise must keep its distribution, so the map is a rotation: orthogonal Procrustes.
    left, _, right = torch.linalg.svd(old_motion.mT @ new_motion)
    rotation = left @ right
    _rotate_motion(diffusion, rotation)
    _map_source(diffusion, *regress(new_source, old_source, RIDGE * len(new_source)))
    return 1 - float((old_motion - new_motion @ rotation.mT).square().sum() / old_motion.square().sum())


def _motions(diffusion: Diffusion, clip: EncodedClip) -> Iterator[Tensor]:
    """Yield whitened motion (T, K) relative to some of a clip's frames."""
    latents = clip.latents.float().to(diffusion.source_mean.device)
    for source in latents[::SOURCE_STEP]:
        yield diffusion.whitening(latents, source)


def _source_codes(diffusion: Diffusion, clip: EncodedClip) -> Tensor:
    """Return the denoiser's source condition, in its order: appearance, then latent (T', A + M)."""
    device = diffusion.source_mean.device
    latents, appearances = clip.latents[::APPEARANCE_STEP].float().to(device), clip.appearance.float().to(device)
    latent, appearance = diffusion.standardise(latents, appearances)
    # Without the appearance code the condition is the latent alone.
    return torch.cat([appearance, latent] if diffusion.params.uses_appearance else [latent], dim=-1)


def _rotate_motion(diffusion: Diffusion, rotation: Tensor) -> None:
    """Rotate the basis in which the denoiser reads and writes motion: old = rotation @ new, (K, K)."""
    denoiser, whitened = diffusion.denoiser, len(rotation)
    denoiser.input_projection.weight.copy_(denoiser.input_projection.weight @ rotation)
    past = denoiser.previous_projection.weight[:, :whitened]
    past.copy_(past @ rotation)
    denoiser.output_projection.weight.copy_(rotation.mT @ denoiser.output_projection.weight)
    denoiser.output_projection.bias.copy_(rotation.mT @ denoiser.output_projection.bias)


def _map_source(diffusion: Diffusion, weight: Tensor, offset: Tensor) -> None:
    """Fold old = weight @ new + offset into the layer that reads the source condition."""
    layer = diffusion.denoiser.identity
    columns = layer.weight[:, -len(weight) :]
    layer.bias.add_(columns @ offset)
    columns.copy_(columns @ weight)
