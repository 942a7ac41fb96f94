"""Every hyper-parameter of a released model, under one name.

Axis letters, here and in every network: B batch, T frames, S speech samples, L mel frames, M motion size,
A appearance size, C channels, D depth planes, R motion regions, K whitened motion size, H height, W width.

Values that arXiv 2606.03402 leaves open are ours; the model cards in `released/` give the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

# What the denoiser predicts: the flow's velocity, the clean motion, or the noise.
Objective = Literal["flow", "x0", "epsilon"]


@dataclass(frozen=True)
class AutoencoderParams:
    """Stage 1: from a source frame and motion latents to frames.

    `size_px` is the side of the square frame that the networks see, `render_px` the side at which they deform and paint
    it: what they give there is enlarged, and moves the source's own pixels at whatever resolution it has.
    `latent_grid` is the (channels, height, width) that a motion latent is reshaped to, `encoder_widths` one entry per
    stride-2 convolution.

    `motion_neck`: channels left before the motion encoder's last linear layer; 0 keeps them all.
    `refines_deformation`: regions are mixed at a quarter of the frame's side, and a refiner adds the detail of lips and
    lids at half of it; otherwise regions are mixed at half of it.
    `decoder_bottleneck`: channels of the frame decoder at an eighth of the side, where it is conditioned on the motion
    latent too; 0 leaves that level out.
    `mouth_eye_widths`: channels of the mouth-eye refiner at a half, a quarter and an eighth of `size_px`; None leaves
    it out. `mouth_eye_motion`: number of linear readings of the motion that condition it.
    The switches are the paper's ablations: `uses_appearance` conditions the deviation decoder on the appearance code,
    `uses_transformer` runs the deviation image transformer, `uses_attention` gates the source's features by an
    attention map.
    """

    size_px: int
    render_px: int
    latent_grid: tuple[int, int, int]
    appearance: int
    planes: int
    plane_channels: int
    regions: int
    encoder_widths: tuple[int, ...]
    deviation_width: int
    deviation_layers: int
    field_widths: tuple[int, int, int]
    decoder_widths: tuple[int, int]
    motion_neck: int = 0
    refines_deformation: bool = False
    decoder_bottleneck: int = 0
    mouth_eye_widths: tuple[int, int, int] | None = None
    mouth_eye_motion: int = 144
    uses_appearance: bool = True
    uses_transformer: bool = True
    uses_attention: bool = True

    @property
    def motion(self) -> int:
        """M, the number of values in one motion latent."""
        channels, height, width = self.latent_grid
        return channels * height * width


@dataclass(frozen=True)
class DiffusionParams:
    """Stage 2: from speech to motion latents.

    `window` frames are sampled per call after `previous` frames that are already known; the first of them is the last
    of the window before. `margin` frames of speech on either side of the window are heard as well, because lips move
    before the sound.
    `dropout` is the share of values that each block of the denoiser forgets in training.
    The switches are the paper's ablations: `uses_style` runs the global Mamba over the recording,
    `uses_articulation` the local one over the slice (without it only the pooled log-mel of each frame is left),
    `uses_appearance` conditions the denoiser on the appearance code.
    """

    whitened: int
    width: int
    layers: int
    heads: int
    audio_width: int
    audio_layers: int
    style: int
    state: int
    head_width: int
    window: int = 60
    previous: int = 4
    margin: int = 10
    steps: int = 8
    guidance: float = 2.0
    objective: Objective = "flow"
    dropout: float = 0.0
    uses_style: bool = True
    uses_articulation: bool = True
    uses_appearance: bool = True

    @property
    def advance(self) -> int:
        """New frames in every window but the first."""
        return self.window - 1

    def window_boundaries(self, frame_count: int) -> range:
        """The frames of a recording where a window's new motion begins; the first window's is not one."""
        return range(self.window, frame_count, self.advance)


@dataclass(frozen=True)
class Preset:
    """A released model: its name, both stages, and the rates that everything around them keeps."""

    name: str
    autoencoder: AutoencoderParams
    diffusion: DiffusionParams
    fps: int = field(default=25, init=False)
    sample_rate_hz: int = field(default=16_000, init=False)
    render_batch: int = field(default=8, init=False)

    @property
    def size_px(self) -> int:
        """Side of the square frame that the networks see."""
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
)

PRESETS: Final = {preset.name: preset for preset in (TINY, BASE)}
