"""The hyper-parameters of the released models, one preset each.

Axis letters in all networks: B batch, T frames, S speech samples, L mel frames, M motion size, A appearance size,
C channels, D depth planes, R motion regions, K whitened motion size, H height, W width.

arXiv 2606.03402 does not give all values; the model cards in `released/` give the reasons for the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal

#: What the denoiser predicts: the velocity of the flow, the clean motion, or the noise.
Objective = Literal["flow", "x0", "epsilon"]


@dataclass(frozen=True)
class AutoencoderParams:
    """Parameters of stage 1, which renders frames from a source frame and motion latents."""

    size_px: int
    """Side of the square frame from which motion and appearance are encoded."""
    render_px: int
    """Side at which frames are deformed and generated. The result is enlarged and applied to the source's own pixels,
    at their own resolution."""
    latent_grid: tuple[int, int, int]
    """(channels, height, width) to which a motion latent is reshaped."""
    appearance: int
    """A, values of an appearance code."""
    planes: int
    """D, depth planes of the feature volume."""
    plane_channels: int
    """Channels of each depth plane."""
    regions: int
    """R, motion regions: displacement fields that are mixed for each plane."""
    encoder_widths: tuple[int, ...]
    """Channels after each stride-2 convolution of the motion encoder and the appearance extractor."""
    deviation_width: int
    """Width of the deviation image transformer."""
    deviation_layers: int
    """Its layers."""
    field_widths: tuple[int, int, int]
    """Channels of the deviation decoder: below a quarter of the side, at a quarter, and before the output."""
    decoder_widths: tuple[int, int]
    """Channels of source encoder and frame decoder at a quarter and at a half of the side."""
    motion_neck: int = 0
    """Channels before the motion encoder's last linear layer; 0 keeps all."""
    refines_deformation: bool = False
    """Mix the regions at a quarter of the side and add detail of lips and lids at half of it with a refiner; otherwise
    mix them at half of it."""
    decoder_bottleneck: int = 0
    """Channels of the frame decoder at an eighth of the side, conditioned on the motion latent; 0 omits that level."""
    mouth_eye_widths: tuple[int, int, int] | None = None
    """Channels of the mouth-eye refiner at a half, a quarter and an eighth of `size_px`; None omits it."""
    mouth_eye_motion: int = 144
    """Linear readings of the motion that condition the mouth-eye refiner."""
    uses_appearance: bool = True
    """Ablation of the paper: condition the deviation decoder on the appearance code."""
    uses_transformer: bool = True
    """Ablation of the paper: run the deviation image transformer."""
    uses_attention: bool = True
    """Ablation of the paper: gate the source's features by an attention map."""

    @property
    def motion(self) -> int:
        """M, the number of values in one motion latent."""
        channels, height, width = self.latent_grid
        return channels * height * width


@dataclass(frozen=True)
class DiffusionParams:
    """Parameters of stage 2, which samples motion latents from speech."""

    whitened: int
    """K, values of whitened motion."""
    width: int
    """Width of the denoiser."""
    layers: int
    """Its transformer blocks."""
    heads: int
    """Its attention heads."""
    audio_width: int
    """Width of both audio extractors."""
    audio_layers: int
    """Mamba-2 blocks of the global extractor, and of the local one in each direction."""
    style: int
    """Values of a style vector."""
    state: int
    """State size of a Mamba-2 mixer."""
    head_width: int
    """Values per head of a Mamba-2 mixer."""
    window: int = 60
    """Frames that are sampled per call. The first one is the last of the window before."""
    previous: int = 4
    """Frames before the window that are already known."""
    margin: int = 10
    """Frames of speech on either side of the window that are used too: lips move before the sound."""
    steps: int = 8
    """Sampling steps."""
    guidance: float = 2.0
    """Scale of classifier-free guidance."""
    objective: Objective = "flow"
    """What the denoiser predicts."""
    dropout: float = 0.0
    """Dropout of each block of the denoiser in training."""
    uses_style: bool = True
    """Ablation of the paper: run the global extractor over the recording."""
    uses_articulation: bool = True
    """Ablation of the paper: run the local extractor's Mamba-2 blocks over the slice; without them each frame has its
    own pooled log-mel only."""
    uses_appearance: bool = True
    """Ablation of the paper: condition the denoiser on the appearance code."""

    @property
    def advance(self) -> int:
        """New frames of every window but the first."""
        return self.window - 1

    def window_boundaries(self, frame_count: int) -> range:
        """Return the frames of a recording at which the second and later windows begin."""
        return range(self.window, frame_count, self.advance)


@dataclass(frozen=True)
class Preset:
    """A released model: its name, both stages and the rates of video and speech."""

    name: str
    autoencoder: AutoencoderParams
    diffusion: DiffusionParams
    most_off: float
    """Largest distance of a motion latent from its combination of key frames. Chosen by what combined frames differ
    from computed ones (docs/log.md)."""
    most_lip_step_cm: float
    """Largest step of the lip gap between two frames of which one is combined."""
    fps: int = field(default=25, init=False)
    sample_rate_hz: int = field(default=16_000, init=False)
    render_batch: int = field(default=4, init=False)

    @property
    def size_px(self) -> int:
        """Side of the square frame from which motion and appearance are encoded."""
        return self.autoencoder.size_px


TINY: Final = Preset(
    name="tiny",
    autoencoder=AutoencoderParams(
        size_px=128,
        render_px=128,
        latent_grid=(12, 4, 4),
        appearance=64,
        planes=4,
        plane_channels=16,
        regions=8,
        encoder_widths=(32, 48, 64, 96, 128),
        deviation_width=96,
        deviation_layers=2,
        field_widths=(96, 64, 48),
        decoder_widths=(64, 48),
    ),
    diffusion=DiffusionParams(
        whitened=64,
        width=160,
        layers=4,
        heads=4,
        audio_width=96,
        audio_layers=2,
        style=32,
        state=32,
        head_width=24,
    ),
    most_off=0.2,
    # Its mouths are blurred anyway.
    most_lip_step_cm=math.inf,
)

BASE: Final = Preset(
    name="base",
    autoencoder=AutoencoderParams(
        size_px=256,
        render_px=128,
        latent_grid=(12, 8, 8),
        appearance=128,
        planes=6,
        plane_channels=16,
        regions=10,
        encoder_widths=(32, 64, 96, 128, 192),
        deviation_width=128,
        deviation_layers=3,
        field_widths=(96, 64, 48),
        decoder_widths=(80, 32),
        motion_neck=48,
        refines_deformation=True,
        decoder_bottleneck=128,
        mouth_eye_widths=(32, 64, 96),
    ),
    diffusion=DiffusionParams(
        whitened=96,
        width=192,
        layers=6,
        heads=6,
        audio_width=128,
        audio_layers=2,
        style=32,
        state=64,
        head_width=32,
        dropout=0.1,
    ),
    most_off=0.13,
    most_lip_step_cm=0.5,
)

PRESETS: Final = {preset.name: preset for preset in (TINY, BASE)}
