"""Gives pictures a source: the picture itself, rendered with other lips.

A picture has no second frame. Rendered with lips that are shut, or less open, it is the source of what it shows itself:
of teeth, or of a tongue. A picture with shut lips is rendered with parted ones, and shows how lips look that shut.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
from torch import Tensor

from dubline.training.cli_errors import UsageError
from dubline.training.ridge import regress
from dubline.training.stage1.losses.registration import shown_at
from dubline.training.stage1.losses.terms import ABOVE_LIPS, BELOW_LIPS, MOUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dubline.models.stage1.autoencoder import Autoencoder
    from dubline.training.corpus import Clip
    from dubline.training.stage1.data.pairs import Pairs, PairSampler

#: Number of frames to which the motion of the lips is fitted, and batch size.
FRAMES: Final = 1200
BATCH: Final = 24
#: Ridge penalty, per frame.
RIDGE: Final = 1e-2
#: Width of a mouth in cm: measured gaps are shares of it.
MOUTH_CM: Final = 5.0
#: Gap above which lips are parted, in cm; how far parted lips are shut, in gaps, and shut lips are parted, in cm.
PARTED_CM: Final = 0.3
SHUTTING: Final = (0.3, 1.3)
PARTING: Final = (0.3, 1.2)


class RoundTrips:
    """Renders the sources of pictures with other lips.

    Args:
        network: trained; it renders the sources.
        sampler: of clips, some of them with the parameters of a rig: the motion of the lips is fitted to those.
    """

    def __init__(self, network: Autoencoder, sampler: PairSampler) -> None:
        self.network, self.random = network, torch.Generator().manual_seed(0)
        self.parting = _parting(network, sampler)

    @torch.no_grad()
    def __call__(self, pairs: Pairs) -> Pairs:
        """Replace the sources of pictures; those of clips are kept."""
        alone = pairs.alone.nonzero()[:, 0]
        if not len(alone):
            return pairs
        pictures = pairs.sources[alone].contiguous(memory_format=torch.channels_last)
        each = len(pairs.driving) // len(pairs.sources)
        change = self._changes(pairs.source_landmarks[alone * each])
        source = self.network.encode_source(pictures)
        rendering = self.network(source, source.motion + change[:, None] * self.parting)
        sources = pairs.sources.index_copy(0, alone, rendering.frame.float().clamp(-1, 1))
        of = (alone[:, None] * each + torch.arange(each, device=alone.device)).flatten()
        displacement, old = rendering.deformation.mixed.float().repeat_interleave(each, 0), pairs.source_landmarks
        landmarks = old.index_copy(0, of, shown_at(displacement, old[of], old[of]))
        return pairs._replace(sources=sources, source_landmarks=landmarks)

    def _changes(self, landmarks: Tensor) -> Tensor:
        """Draw how far the lips of pictures are parted further, in cm: (B,)."""
        above, below = landmarks[:, ABOVE_LIPS], landmarks[:, BELOW_LIPS]
        width = (landmarks[:, MOUTH.start] - landmarks[:, MOUTH.start + 6]).norm(dim=-1).clamp_min(1e-3)
        gaps = MOUTH_CM * (above - below).norm(dim=-1).mean(1) / width
        shutting, parting = (self._draw(gaps, *bounds) for bounds in (SHUTTING, PARTING))
        return torch.where(gaps > PARTED_CM, -shutting * gaps, parting)

    def _draw(self, like: Tensor, low: float, high: float) -> Tensor:
        return (low + (high - low) * torch.rand(len(like), generator=self.random)).to(like)


def require_rendered(clips: Sequence[Clip]) -> None:
    """Require rendered clips, for pictures.

    Raises:
        UsageError: there are none.
    """
    if not any(clip.labelled for clip in clips):
        raise UsageError("pictures need rendered clips beside them: the motion of lips is fitted to those")


@torch.no_grad()
def _parting(network: Autoencoder, sampler: PairSampler) -> Tensor:
    """Fit the mean change of a latent (M,) if the lips part by 1 cm and nothing else that is known changes."""
    latents, geometry = list[Tensor](), list[Tensor]()
    while sum(len(rows) for rows in geometry) < FRAMES:
        pairs = sampler.draw(BATCH, 1)
        known = pairs.geometry_known > 0
        motion = network.encode_motion(pairs.driving.contiguous(memory_format=torch.channels_last)).float()
        latents.append(motion[known])
        geometry.append(pairs.geometry[known])
    weight, _ = regress(torch.cat(geometry), torch.cat(latents), RIDGE * FRAMES)
    return weight[:, -1] / float(sampler.std[-1])
