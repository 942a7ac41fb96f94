"""Draws motion latents for a whole recording, window after window, in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubline.models import schedule
from dubline.models.audio_encoder import MEL_PER_FRAME
from dubline.models.denoiser import Condition
from dubline.models.log_mel import BANDS, Loudness, normalise, stream_log_mel

if TYPE_CHECKING:
    from dubline.models.autoencoder import Source
    from dubline.models.diffusion import Diffusion
    from dubline.models.weights import Networks

Speech = Callable[[], Iterator[NDArray[np.float32]]]


@torch.inference_mode()
def sample_motion(networks: Networks, source: Source, speech: Speech, frame_count: int, seed: int) -> Iterator[Tensor]:
    """Noise and speech -> motion latents.

    Args:
        networks: both stages; the autoencoder only lent the source.
        source: of batch 1.
        speech: gives a fresh stream of mono 16 kHz samples in [-1, 1] at each call; called twice: the whole
            recording is heard for its style and loudness before the first window is drawn.
        frame_count: how many video frames to give.
        seed: with the window's index, decides the noise. The same seed gives the same motion.

    Yields:
        (T, M) float16 on the CPU, T at most one window, `frame_count` frames in all.
    """
    diffusion = networks.diffusion
    device = source.motion.device
    mel_count = frame_count * MEL_PER_FRAME
    style, level = _hear_whole(diffusion, stream_log_mel(speech(), mel_count), device)
    source_motion, appearance = diffusion.standardise(source.motion, source.appearance)
    previous = torch.zeros(1, diffusion.params.previous, diffusion.params.whitened, device=device)
    known = torch.zeros(1, 1, device=device)
    start = 0
    for index, mel in enumerate(_slices(diffusion, stream_log_mel(speech(), mel_count), frame_count, level)):
        audio = diffusion.articulation_extractor(mel.to(device))
        condition = Condition(audio, style, appearance, source_motion, previous, known)
        drawn = _draw(diffusion, condition, _noise(diffusion, seed, index).to(device))
        previous, known = drawn[:, -diffusion.params.previous :], torch.ones_like(known)
        latents = diffusion.whitening.invert(drawn[0], source.motion)
        yield latents[: frame_count - start].half().cpu()
        start += diffusion.params.window


def _hear_whole(diffusion: Diffusion, mels: Iterator[Tensor], device: torch.device) -> tuple[Tensor, float]:
    """Style (1, Z) and loudness of a recording."""
    extractor, loudness = diffusion.style_extractor, Loudness()
    heard = extractor.start(1)
    for mel in mels:
        loudness.hear(mel)
        heard = extractor.hear(mel[None].to(device), heard)
    style: Tensor = extractor(heard)
    return style, loudness.level


def _slices(diffusion: Diffusion, mels: Iterator[Tensor], frame_count: int, level: float) -> Iterator[Tensor]:
    """For each window the normalised log-mel around it: (1, 4 (margin + previous + window + margin), BANDS)."""
    params = diffusion.params
    before = (params.margin + params.previous) * MEL_PER_FRAME
    step = params.window * MEL_PER_FRAME
    length = before + step + params.margin * MEL_PER_FRAME
    held = torch.full((before, BANDS), -1.0)
    for _ in range(0, frame_count, params.window):
        while len(held) < length and (mel := next(mels, None)) is not None:
            held = torch.cat([held, normalise(mel, level)])
        silence = torch.full((max(0, length - len(held)), BANDS), -1.0)
        held = torch.cat([held, silence])
        yield held[None, :length]
        held = held[step:]


def _noise(diffusion: Diffusion, seed: int, index: int) -> Tensor:
    """Noise of one window (1, T, K), drawn on the CPU so that every device sees the same."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
    return torch.randn(1, diffusion.params.window, diffusion.params.whitened, generator=generator)


def _draw(diffusion: Diffusion, condition: Condition, noise: Tensor) -> Tensor:
    """Euler steps from noise to motion (1, T, K), guided away from what the denoiser would do without speech."""
    params = diffusion.params
    blind = condition._replace(audio=torch.zeros_like(condition.audio), style=torch.zeros_like(condition.style))
    both = Condition(*(torch.cat(pair) for pair in zip(condition, blind, strict=True)))
    borders = schedule.times(params.steps).to(noise.device)
    motion = noise
    for time, after in itertools.pairwise(borders):
        heard, unheard = diffusion.denoiser(motion.expand(2, -1, -1), time.expand(2), both).chunk(2)
        motion = motion + (after - time) * (unheard + params.guidance * (heard - unheard))
    return motion
