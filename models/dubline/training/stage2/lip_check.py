"""Validates the lips of sampled motion during training, on the first windows of a few fixed clips.

A rough estimate for the progress line and the curves: lips are predicted from latents by stage 1's geometry head, and
nothing is rendered. Weights selected by it must be reported on other clips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dubline.models.sampling import sample_window
from dubline.models.stage2.denoiser import Condition
from dubline.models.stage2.log_mel import normalise
from dubline.training.stage2.windows import speech_around, style_excerpt

if TYPE_CHECKING:
    from torch import Tensor

    from dubline.models.stage2.diffusion import Diffusion
    from dubline.training.stage2.encoded_clips import EncodedClip
    from dubline.training.stage2.windows import WindowSampler


class LipCheck:
    """A fixed set of first windows.

    Args:
        clips: clips shorter than a window are left out; without labels the truth is predicted from the clip's latents.
        windows: for whitening and statistics.
        reading: (K,), the geometry head's lip gap on whitened motion.
    """

    def __init__(self, clips: list[EncodedClip], windows: WindowSampler, reading: Tensor) -> None:
        params = windows.params
        self.reading = reading.cpu()
        chosen = [clip for clip in clips if len(clip.latents) >= params.window]
        if not chosen:
            self.rows: list[Tensor] = []
            return
        self.truth = torch.stack([self._gap(clip, windows) for clip in chosen])
        sources = [windows.source_codes(clip, 0) for clip in chosen]
        mels = [clip.recordings[0].mel.float() for clip in chosen]
        slices = [
            speech_around(normalise(mel, c.recordings[0].level), 0, params) for mel, c in zip(mels, chosen, strict=True)
        ]
        noise = torch.randn(len(chosen), params.window, params.whitened, generator=torch.Generator().manual_seed(0))
        self.rows = [
            torch.stack(slices),
            torch.stack([style_excerpt(mel, 0) for mel in mels]),
            torch.stack([appearance for _, appearance in sources]),
            torch.stack([motion for motion, _ in sources]),
            noise,
        ]

    def _gap(self, clip: EncodedClip, windows: WindowSampler) -> Tensor:
        if clip.gap is not None:
            return clip.gap[: windows.params.window]
        return windows.motion(clip, 0, 1.0, 0, windows.params.window) @ self.reading

    @torch.inference_mode()
    def score(self, diffusion: Diffusion, device: torch.device) -> float:
        """Return the mean correlation over the clips whose lips move; NaN without such clips."""
        if not self.rows:
            return float("nan")
        slices, excerpts, appearance, source, noise = (row.to(device) for row in self.rows)
        style_state = diffusion.style_extractor.update(excerpts, diffusion.style_extractor.start(len(noise)))
        previous = noise.new_zeros(len(noise), diffusion.params.previous, diffusion.params.whitened)
        condition = Condition(
            diffusion.articulation_extractor(slices),
            diffusion.style_extractor(style_state),
            appearance,
            source,
            previous,
            noise.new_zeros(len(noise), 1),
        )
        gaps = sample_window(diffusion, condition, noise).float().cpu() @ self.reading
        moves = self.truth.std(1) > 1e-3  # noqa: PLR2004 - a constant has no correlation
        pairs = zip(gaps[moves], self.truth[moves], strict=True)
        scores = [torch.corrcoef(torch.stack(pair))[0, 1] for pair in pairs]
        return float(torch.stack(scores).mean()) if scores else float("nan")
