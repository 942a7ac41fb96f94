"""Sampling of motion latents for a whole recording, window by window, in constant memory."""

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
from dubline.models.motion.spoken_lips import SpokenLips
from dubline.models.motion.steady_head import steady
from dubline.models.speech.recording import Recording
from dubline.models.stage2 import schedule
from dubline.models.stage2.audio_encoder import MEL_PER_FRAME
from dubline.models.stage2.denoiser import Condition
from dubline.models.stage2.log_mel import BANDS
from dubline.options.render import DEFAULT_CONTROLS, MotionControls

if TYPE_CHECKING:
    from dubline.models.stage1.autoencoder import Source
    from dubline.models.stage2.diffusion import Diffusion
    from dubline.models.weights import Networks

#: Frames over which the pose offset between two windows decays: .6 s, the duration of a head turn.
FADE_FRAMES: Final = 15
#: Factor on the sampled mean lip gap in silence. On 21 faces the lips are then closed in .98 of the frames of a pause:
#: .92 with a factor of 1, .97 without this control. From 2 on chins are distorted (docs/log.md).
LIP_CLOSURE: Final = 1.5
#: Lips that have the gap of the source, this much less in cm, are closed: what the reading of the gap may be wrong by.
CLOSED_BELOW: Final = 0.1

#: Changes noisy motion (B, T, K) at a time.
Hold = Callable[[Tensor, Tensor], Tensor]
#: A function that returns a fresh stream of mono 16 kHz samples in [-1, 1].
Speech = Callable[[], Iterator[NDArray[np.float32]]]


@torch.inference_mode()
def sample_motion(  # noqa: PLR0913 - the parameters of a sampling run
    networks: Networks,
    source: Source,
    speech: Speech,
    frame_count: int,
    seed: int,
    *,
    controls: MotionControls = DEFAULT_CONTROLS,
) -> Iterator[Tensor]:
    """Sample motion latents from noise and speech.

    Args:
        networks: both stages; the autoencoder is not called.
        source: of batch 1.
        speech: called twice: style, loudness and voice activity of the whole recording are computed before the first
            window is sampled.
        frame_count: number of video frames.
        seed: determines the noise, together with the window's index, and the times of blinks. The same seed gives
            the same motion.
        controls: edits of the sampled motion. Each window continues the sampled motion, not the edited one.

    Yields:
        (T, M) float16 on the CPU, T at most one window, `frame_count` frames in total.
    """
    diffusion = networks.diffusion
    recording = Recording(speech, frame_count * MEL_PER_FRAME)
    style = _encode_style(diffusion, recording.measure(), source.motion.device)
    silent = _silent_condition(diffusion, source, style)
    lips, edit = _lips_and_editor(networks, source, controls, silent)
    blinks, left = Blinks(controls.blink, seed), frame_count
    windows = _sampled_windows(
        networks, silent, lips, _mel_windows(diffusion, recording.normalised(), frame_count), seed
    )
    for drawn, silence_weight in steady(windows, networks.readout):
        motion = edit(drawn, silence_weight, blinks(len(drawn)).to(drawn.device))
        if left > 0:
            yield diffusion.whitening.invert(motion, source.motion)[:left].half().cpu()
        left -= len(drawn)


def _sampled_windows(
    networks: Networks, condition: Condition, lips: SpokenLips, mels: Iterator[Tensor], seed: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the new frames of each window: whitened motion (T, K) and how silent they are, 0 to 1 (T,)."""
    diffusion = networks.diffusion
    params, device = diffusion.params, condition.source.device
    last: Tensor | None = None
    for index, mel in enumerate(mels):
        condition = condition._replace(audio=diffusion.articulation_extractor(mel.to(device)))
        hold = lips.hold(condition.audio[:, -params.window :])
        drawn = sample_window(diffusion, condition, _noise(networks, seed, index), hold=hold)
        new = drawn if last is None else join_windows(last, drawn)
        yield new[0], silence(mel)[0, : -params.margin][-new.shape[1] :].to(device)
        last = new[:, -1:]
        previous = new[:, -params.previous - 1 : -1]
        condition = condition._replace(previous=previous, known=torch.ones_like(condition.known))


def _silent_condition(diffusion: Diffusion, source: Source, style: Tensor) -> Condition:
    """Return the condition of a first window without speech."""
    params, device = diffusion.params, source.motion.device
    frames = params.margin + params.previous + params.window + params.margin
    mel = torch.full((1, frames * MEL_PER_FRAME, BANDS), -1.0, device=device)
    motion, appearance = diffusion.standardise(source.motion, source.appearance)
    previous = torch.zeros(1, params.previous, params.whitened, device=device)
    known = torch.zeros(1, 1, device=device)
    return Condition(diffusion.articulation_extractor(mel), style, appearance, motion, previous, known)


def _lips_and_editor(
    networks: Networks, source: Source, controls: MotionControls, silent: Condition
) -> tuple[SpokenLips, MotionEditor]:
    """Create what determines the lips of one source in speech, and its motion editor.

    The rest position of the lips is sampled from silence. A reading of closed lips alone does not determine it: it
    differs by .35 cm between faces (docs/log.md). The reading of the source's lip gap only raises lips that rest too
    low (decision 0051).
    """
    diffusion, readout = networks.diffusion, networks.readout
    whitened = diffusion.whitening(source.motion, source.motion)[0]
    gap = networks.source_gap(source.network_frame)[0].item() if networks.source_gap else None
    held = bool(readout.spoken_gap.any())
    if not controls.shut_in_silence and gap is None and not held:
        return SpokenLips(readout, whitened, 0.0), MotionEditor(controls, readout, whitened, rest_gap=0.0)
    drawn = sample_window(diffusion, silent, _noise(networks, 0, 0))[0]
    # At rest the lips are not further apart than in the portrait.
    rest = min(0.0, float(readout(drawn - whitened)[:, LIPS].mean()))
    lift = 0.0 if gap is None else max(0.0, -gap - CLOSED_BELOW - rest)
    lips = SpokenLips(readout, whitened, rest + lift)
    # Held lips are relative to closed lips already.
    return lips, MotionEditor(controls, readout, whitened, LIP_CLOSURE * rest + lift, 0.0 if held else lift)


def _encode_style(diffusion: Diffusion, mels: Iterator[Tensor], device: torch.device) -> Tensor:
    """Compute the style (1, Z) of a recording."""
    extractor = diffusion.style_extractor
    state = extractor.start(1)
    for mel in mels:
        state = extractor.update(mel[None].to(device), state)
    style: Tensor = extractor(state)
    return style


def _mel_windows(diffusion: Diffusion, mels: Iterator[Tensor], frame_count: int) -> Iterator[Tensor]:
    """Yield the normalised log-mel around each window: (1, 4 (margin + previous + window + margin), BANDS)."""
    params = diffusion.params
    before = (params.margin + params.previous) * MEL_PER_FRAME
    step = params.advance * MEL_PER_FRAME
    length = before + (params.window + params.margin) * MEL_PER_FRAME
    held = torch.full((before, BANDS), -1.0)
    for _ in range(0, max(1, frame_count - 1), params.advance):
        while len(held) < length and (mel := next(mels, None)) is not None:
            held = torch.cat([held, mel])
        silence = torch.full((max(0, length - len(held)), BANDS), -1.0)
        held = torch.cat([held, silence])
        yield held[None, :length]
        held = held[step:]


def _noise(networks: Networks, seed: int, index: int) -> Tensor:
    """Draw the noise of one window (1, T, K), on the CPU so that all devices get the same up to rounding.

    Its lip reading is set to 0: noise is for motion that speech does not determine, and speech determines the lips
    (docs/log.md).
    """
    params = networks.diffusion.params
    generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
    noise = torch.randn(1, params.window, params.whitened, generator=generator)
    return networks.readout.remove_reading(noise.to(networks.readout.weight.device), LIPS)


def join_windows(last: Tensor, drawn: Tensor) -> Tensor:
    """Continue the window before: the offset in the shared frame is added to the new window and decays.

    Two samples for the same speech have the same lips but different head poses, and conditioning on previous frames
    alone leaves jumps at the boundary (docs/log.md). A cross-fade would attenuate the motion of both windows; this
    keeps all motion of the new one.

    Args:
        last: (B, 1, K), the last frame of the window before.
        drawn: (B, T, K), the new window, which begins with that frame.

    Returns:
        (B, T - 1, K), the frames after the shared one.
    """
    new = drawn[:, 1:]
    return new + (last - drawn[:, :1]) * offset_decay(new.shape[1]).to(drawn.device)


def offset_decay(frames: int) -> Tensor:
    """Compute the share of the offset in each frame after a boundary: (frames, 1), from almost 1 to 0."""
    passed = torch.arange(1, frames + 1) / FADE_FRAMES
    return 0.5 * (1 + torch.cos(torch.pi * passed.clamp(max=1)))[:, None]


def sample_window(
    diffusion: Diffusion, condition: Condition, noise: Tensor, steps: int = 0, hold: Hold | None = None
) -> Tensor:
    """Sample one window from noise, with classifier-free guidance by speech.

    Args:
        diffusion: only the denoiser is called; the condition has the outputs of the extractors.
        condition: of batch B.
        noise: (B, T, K), of unit variance or less.
        steps: number of sampling steps; 0 is the preset's.
        hold: applied to the motion after each step, at the time reached.

    Returns:
        Whitened motion (B, T, K).
    """
    params = diffusion.params
    unconditional = condition._replace(audio=torch.zeros_like(condition.audio), style=torch.zeros_like(condition.style))
    both = Condition(*(torch.cat(pair) for pair in zip(condition, unconditional, strict=True)))
    times = schedule.times(steps or params.steps, params.objective).to(noise.device)
    motion = schedule.begin(noise, params.objective)
    for time, after in itertools.pairwise(times):
        twice = motion.repeat(2, 1, 1)
        with_speech, without = diffusion.denoiser(twice, time.expand(len(twice)), both).chunk(2)
        guided = without + params.guidance * (with_speech - without)
        motion = schedule.step(motion, guided, time, after, params.objective)
        motion = motion if hold is None else hold(motion, after)
    return motion
