"""Loss of the articulation extractor alone: the lip gap of three kinds of windows, and the mouth of labelled speech."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.stage2.audio_encoder import LocalExtractor
    from dubline.training.stage2.articulation import ArticulationHead
    from dubline.training.stage2.extractor.gap_sampler import GapSampler
    from dubline.training.stage2.spoken_gap_head import SpokenGapHead

#: Windows per step: speech with labels and without frames, clips with labels, recordings of people.
SPEECH_WINDOWS: Final = 14
LABELLED_WINDOWS: Final = 3
RECORDED_WINDOWS: Final = 7
WINDOWS: Final = SPEECH_WINDOWS + LABELLED_WINDOWS + RECORDED_WINDOWS
#: Factor on the loss of all mouth parameters of labelled speech.
MOUTH_WEIGHT: Final = 0.3


class ExtractorLoss:
    """Draws windows and compares what heads read off the extractor's output with their lips.

    Args:
        extractor: is trained; a copy of it is the former one.
        labelled: of clips with labels.
        recorded: of recordings of people.
        articulation_head: reads the mouth parameters; it samples the labelled speech.
        gap_head: reads the lip gap.
        keep_output: factor on the mean squared distance to the former output for recordings of people, so that what was
            trained on it still fits.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - independent inputs
        self,
        extractor: LocalExtractor,
        labelled: GapSampler,
        recorded: GapSampler,
        articulation_head: ArticulationHead,
        gap_head: SpokenGapHead,
        keep_output: float = 0.0,
    ) -> None:
        self.extractor, self.labelled, self.recorded = extractor, labelled, recorded
        self.articulation_head, self.gap_head, self.keep_output = articulation_head, gap_head, keep_output
        self.former = copy.deepcopy(extractor).requires_grad_(requires_grad=False)

    def __call__(self) -> dict[str, Tensor]:
        """Draw the windows of a step and compute their loss, by its parts: `loss` is the sum."""
        device, sampler = self.gap_head.device, self.articulation_head.sampler
        speech = sampler.draw(SPEECH_WINDOWS)
        slices, gaps = zip(self.labelled.draw(LABELLED_WINDOWS), self.recorded.draw(RECORDED_WINDOWS), strict=True)
        everything = torch.cat([speech.slices, *slices]).to(device)
        articulation = self.extractor(everything)[:, sampler.params.previous :]
        gap = self.gap_head.loss(articulation, torch.cat([sampler.gap(speech.mouth), *gaps]).to(device))
        own = speech.mouth[:, sampler.params.previous :].to(device)
        mouth = self.articulation_head.error(articulation[:SPEECH_WINDOWS], own)
        figures = {"loss": gap + MOUTH_WEIGHT * mouth, "gap": gap.detach(), "mouth": mouth.detach()}
        if self.keep_output:
            with torch.no_grad():
                former = self.former(everything[-RECORDED_WINDOWS:])[:, sampler.params.previous :]
            distance = (articulation[-RECORDED_WINDOWS:] - former).float().square().mean()
            figures["loss"] = figures["loss"] + self.keep_output * distance
            figures["distance"] = distance.detach()
        return figures
