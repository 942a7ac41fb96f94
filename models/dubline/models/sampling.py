"""Draws motion latents for a whole recording, window after window, in constant memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dubline.models.motion.blinks import Blinks
from dubline.models.motion.editor import MotionEditor
from dubline.models.motion.readout import LIPS
from dubline.models.motion.silence import silence
from dubline.models.stage2 import schedule
from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.denoiser import Condition
from dubline.models.stage2.log_mel import BANDS, Loudness, normalise, stream_log_mel
from dubline.options.render import DEFAULT_CONTROLS, MotionControls

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Source
    from dubline.models.stage2.diffusion import Diffusion
    from dubline.models.weights import Networks

#: Over how many frames a window leaves the pose behind that the one before ended with: .6 s, as a head turns.
FADE_FRAMES: Final = 15
#: How much further than its own mean in silence the lips are asked to shut: on 21 faces .98 of the frames in a pause are
#: shut then, .92 with 1 and .97 without this control; 2 begins to distort chins (docs/log.md).
PRESS: Final = 1.5

Speech = Callable[[], Iterator[NDArray[np.float32]]]


@torch.inference_mode()
def sample_motion(  # noqa: PLR0913 - each is a choice of the caller
    networks: Networks,
    source: Source,
    speech: Speech,
    frame_count: int,
    seed: int,
    *,
    controls: MotionControls = DEFAULT_CONTROLS,
) -> Iterator[Tensor]:
    """Noise and speech -> motion latents.

    Args:
        networks: both stages; the autoencoder only lent the source.
        source: of batch 1.
        speech: gives a fresh stream of mono 16 kHz samples in [-1, 1] at each call; called twice: the whole
            recording is heard for its style and loudness before the first window is drawn.
        frame_count: how many video frames to give.
        seed: with the window's index, decides the noise, and when the face blinks. The same seed gives the same
            motion.
        controls: what to change about it; later windows go on from what was sampled, not from what was changed.

    Yields:
        (T, M) float16 on the CPU, T at most one window, `frame_count` frames in all.
    """
    diffusion = networks.diffusion
    device = source.motion.device
    mel_count = frame_count * MEL_PER_FRAME
    style, level = _hear_whole(diffusion, stream_log_mel(speech(), mel_count), device)
    condition = _hushed(diffusion, source, style)
    steering, blinks = _steer(networks, source, controls, condition), Blinks(controls.blink, seed)
    start = 0
    last: Tensor | None = None
    for index, mel in enumerate(_slices(diffusion, stream_log_mel(speech(), mel_count), frame_count, level)):
        condition = condition._replace(audio=diffusion.articulation_extractor(mel.to(device)))
        drawn = draw(diffusion, condition, _noise(networks, seed, index))
        new = drawn if last is None else join(last, drawn)
        hush = silence(mel)[0, : -diffusion.params.margin][-new.shape[1] :].to(device)
        motion = steering(new[0], hush, blinks(new.shape[1]).to(device))
        yield diffusion.whitening.invert(motion, source.motion)[: frame_count - start].half().cpu()
        start += new.shape[1]
        last = new[:, -1:]
        previous = new[:, -diffusion.params.previous - 1 : -1]
        condition = condition._replace(previous=previous, known=torch.ones_like(condition.known))


def _hushed(diffusion: Diffusion, source: Source, style: Tensor) -> Condition:
    """The condition of a recording's first window, if nobody spoke in it."""
    params, device = diffusion.params, source.motion.device
    frames = params.margin + params.previous + params.window + params.margin
    mel = torch.full((1, frames * MEL_PER_FRAME, BANDS), -1.0, device=device)
    motion, appearance = diffusion.standardise(source.motion, source.appearance)
    previous = torch.zeros(1, params.previous, params.whitened, device=device)
    known = torch.zeros(1, 1, device=device)
    return Condition(diffusion.articulation_extractor(mel), style, appearance, motion, previous, known)


def _steer(networks: Networks, source: Source, controls: MotionControls, hushed: Condition) -> MotionEditor:
    """Control for one source. Where its lips rest is what the networks draw for it while nobody speaks.

    Latents do not say it: read in absolute terms, shut lips are .35 cm off from face to face (docs/log.md).
    """
    diffusion = networks.diffusion
    still = diffusion.whitening(source.motion, source.motion)[0]
    rest = 0.0
    if controls.shut_in_silence:
        drawn = draw(diffusion, hushed, _noise(networks, 0, 0))[0]
        # No face rests with its lips further apart than in its portrait.
        rest = PRESS * min(0.0, float(networks.readout(drawn - still)[:, LIPS].mean()))
    return MotionEditor(controls, networks.readout, still, rest)


def _hear_whole(diffusion: Diffusion, mels: Iterator[Tensor], device: torch.device) -> tuple[Tensor, float]:
    """Style (1, Z) and loudness of a recording."""
    extractor, loudness = diffusion.style_extractor, Loudness()
    heard = extractor.start(1)
    for mel in mels:
        loudness.update(mel)
        heard = extractor.update(mel[None].to(device), heard)
    style: Tensor = extractor(heard)
    return style, loudness.level


def _slices(diffusion: Diffusion, mels: Iterator[Tensor], frame_count: int, level: float) -> Iterator[Tensor]:
    """For each window the normalised log-mel around it: (1, 4 (margin + previous + window + margin), BANDS)."""
    params = diffusion.params
    before = (params.margin + params.previous) * MEL_PER_FRAME
    step = params.advance * MEL_PER_FRAME
    length = before + (params.window + params.margin) * MEL_PER_FRAME
    held = torch.full((before, BANDS), -1.0)
    for _ in range(0, max(1, frame_count - 1), params.advance):
        while len(held) < length and (mel := next(mels, None)) is not None:
            held = torch.cat([held, normalise(mel, level)])
        silence = torch.full((max(0, length - len(held)), BANDS), -1.0)
        held = torch.cat([held, silence])
        yield held[None, :length]
        held = held[step:]


def _noise(networks: Networks, seed: int, index: int) -> Tensor:
    """Noise of one window (1, T, K), drawn on the CPU so that every device sees the same, but for rounding.

    It parts no lips: chance is for what speech leaves open, and where lips are speech says (docs/log.md).
    """
    params = networks.diffusion.params
    generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
    noise = torch.randn(1, params.window, params.whitened, generator=generator)
    return networks.readout.without(noise.to(networks.readout.weight.device), LIPS)


def join(last: Tensor, drawn: Tensor) -> Tensor:
    """Let a window go on where the one before ended: what they differ by in the frame they share fades out.

    Two draws for the same speech agree about lips and differ about where the head was: conditioning on the frames
    before a window leaves jumps between them (docs/log.md). A cross-fade would halve what both say; this keeps all of
    the new window's own movement.

    Args:
        last: (B, 1, K), the last frame of the window before.
        drawn: (B, T, K), this window, drawn from that frame on.

    Returns:
        (B, T - 1, K), the frames after the shared one.
    """
    new = drawn[:, 1:]
    return new + (last - drawn[:, :1]) * fading(new.shape[1]).to(drawn.device)


def fading(frames: int) -> Tensor:
    """How much of an offset is left in each frame after a border: (frames, 1), from almost 1 to 0."""
    passed = torch.arange(1, frames + 1) / FADE_FRAMES
    return 0.5 * (1 + torch.cos(torch.pi * passed.clamp(max=1)))[:, None]


def draw(diffusion: Diffusion, condition: Condition, noise: Tensor, steps: int = 0) -> Tensor:
    """One window: steps from noise to motion, guided away from what the denoiser would do without speech.

    Args:
        diffusion: the denoiser is used; the condition holds what its extractors heard.
        condition: of batch B.
        noise: (B, T, K), of unit variance or, where nothing is left to chance, of less.
        steps: how many; 0 takes the preset's.

    Returns:
        Whitened motion (B, T, K).
    """
    params = diffusion.params
    blind = condition._replace(audio=torch.zeros_like(condition.audio), style=torch.zeros_like(condition.style))
    both = Condition(*(torch.cat(pair) for pair in zip(condition, blind, strict=True)))
    borders = schedule.times(steps or params.steps, params.objective).to(noise.device)
    motion = schedule.begin(noise, params.objective)
    for time, after in itertools.pairwise(borders):
        twice = motion.repeat(2, 1, 1)
        heard, unheard = diffusion.denoiser(twice, time.expand(len(twice)), both).chunk(2)
        guided = unheard + params.guidance * (heard - unheard)
        motion = schedule.step(motion, guided, time, after, params.objective)
    return motion
