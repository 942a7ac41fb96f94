"""Every hyper-parameter of a released model, under one name.

Axis letters, here and in every network: B batch, T frames, S speech samples, L mel frames, M motion size,
A appearance size, C channels, D depth planes, R motion regions, K whitened motion size, H height, W width.

Values that arXiv 2606.03402 leaves open are ours; the model cards in `released/` give the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class AutoencoderParams:
    """Stage 1: from a source frame and motion latents to frames.

    `size_px` is the side of the square frame that the networks see, `latent_grid` the (channels, height,
    width) that a motion latent is reshaped to, `encoder_widths` one entry per stride-2 convolution.
    """

    size_px: int
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

    @property
    def motion(self) -> int:
        """M, the number of values in one motion latent."""
        channels, height, width = self.latent_grid
        return channels * height * width


@dataclass(frozen=True)
class DiffusionParams:
    """Stage 2: from speech to motion latents.

    `window` new frames are sampled per call after `previous` frames that are already known; `margin` frames
    of speech on either side of the window are heard as well, because lips move before the sound.
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


TINY = Preset(
    name="tiny",
    autoencoder=AutoencoderParams(
        size_px=128,
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

PRESETS = {preset.name: preset for preset in (TINY,)}
