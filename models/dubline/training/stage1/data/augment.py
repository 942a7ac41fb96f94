"""Augmentation of training frames: a random camera per pair; other colours and degradations for the motion encoder.

The motion encoder's input is degraded strongly: its output must not depend on blur, codecs or noise, and no pixel of it
reaches the rendering. Targets are never degraded, because the renderer would learn to degrade frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dubline.training.stage1.data.jpeg import compress

if TYPE_CHECKING:
    from collections.abc import Callable

#: Ranges of the random camera. A detected face is framed less exactly than the corpus: the detector's box varies by
#: about 10 % (standard deviation) of its side. Zooming out is limited, because border pixels are repeated there.
ZOOM_IN: Final = 0.2
ZOOM_OUT: Final = 0.12
SHIFT: Final = 0.12
TILT_RAD: Final = 0.14
#: Shares of the motion encoder's inputs with each degradation, and their ranges. Sigma is a share of the side (.006 =
#: 1.5 px of 256); JPEG qualities are those of video calls and old uploads; noise is in units of [-1, 1].
BLUR_SHARE: Final = 0.4
BLUR_SIGMA: Final = (0.0015, 0.006)
JPEG_SHARE: Final = 0.25
JPEG_QUALITY: Final = (20.0, 80.0)
NOISE_SHARE: Final = 0.4
NOISE_SIGMA: Final = (0.01, 0.12)
GREY_SHARE: Final = 0.1
#: BT.601 luma weights of red, green and blue.
BRIGHTNESS: Final = (0.299, 0.587, 0.114)


class Degradations(NamedTuple):
    """Strength of each degradation for each frame of a batch; 0 is none.

    The values are on the CPU, so that selecting frames does not wait for a GPU.
    """

    blur: Tensor
    """(B,), sigma as a share of the side."""
    quality: Tensor
    """(B,), JPEG quality."""
    noise: Tensor
    """(B,), sigma."""
    grey: Tensor
    """(B,), 0 or 1."""


def random_cameras(batch: int, generator: torch.Generator) -> Tensor:
    """Draw zooms, rotations and shifts: (B, 2, 3), output coordinates -> input coordinates in [-1, 1]."""
    zoom = 1 - ZOOM_IN + (ZOOM_IN + ZOOM_OUT) * torch.rand(batch, generator=generator)
    tilt = TILT_RAD * (2 * torch.rand(batch, generator=generator) - 1)
    shift = SHIFT * (2 * torch.rand(batch, 2, generator=generator) - 1)
    cos, sin = zoom * tilt.cos(), zoom * tilt.sin()
    return torch.stack([torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1)


def view(frames: Tensor, cameras: Tensor, *, bicubic: bool = False) -> Tensor:
    """Resample frames (B, 3, H, W) in [-1, 1] with cameras (B, 2, 3); bicubic for frames that were resampled before."""
    grid = F.affine_grid(cameras, list(frames.shape), align_corners=False)
    mode = "bicubic" if bicubic else "bilinear"
    return F.grid_sample(frames, grid, mode, padding_mode="border", align_corners=False).clamp(-1, 1)


def project(points: Tensor, cameras: Tensor) -> Tensor:
    """Map points (B, P, 2) in [-1, 1] of the original frame to the camera's view, with cameras (B, 2, 3)."""
    rotation, shift = cameras[:, :, :2], cameras[:, :, 2]
    mapped: Tensor = torch.linalg.solve(rotation, (points - shift[:, None]).mT).mT
    return mapped


def random_colours(batch: int, generator: torch.Generator) -> Tensor:
    """Draw gain and offset of each channel: (B, 2, 3, 1, 1)."""
    gain = 1 + 0.25 * (2 * torch.rand(batch, 3, generator=generator) - 1)
    gain = gain * (1 + 0.25 * (2 * torch.rand(batch, 1, generator=generator) - 1))
    offset = 0.15 * (2 * torch.rand(batch, 3, generator=generator) - 1)
    return torch.stack([gain, offset], 1)[..., None, None]


def recolour(frames: Tensor, colours: Tensor) -> Tensor:
    """Apply gains and offsets (B, 2, 3, 1, 1) to frames (B, 3, H, W) in [-1, 1]."""
    return (frames * colours[:, 0] + colours[:, 1]).clamp(-1, 1)


def random_degradations(batch: int, generator: torch.Generator) -> Degradations:
    """Draw independent degradations; about a quarter of the frames get none or only grey."""

    def some(share: float, low: float, high: float) -> Tensor:
        value = low + (high - low) * torch.rand(batch, generator=generator).square()
        return value * (torch.rand(batch, generator=generator) < share)

    quality = some(JPEG_SHARE, *JPEG_QUALITY)
    return Degradations(some(BLUR_SHARE, *BLUR_SIGMA), quality, some(NOISE_SHARE, *NOISE_SIGMA), some(GREY_SHARE, 1, 1))


@torch.no_grad()
def degrade(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Degrade frames (B, 3, H, W) in [-1, 1] for the motion encoder; each frame independently.

    Args:
        frames: on any device.
        generator: on the CPU; determines the degradations.
    """
    drawn = random_degradations(len(frames), generator)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    frames = _on(frames, drawn.grey, lambda some, _: _grey(some))
    frames = _on(frames, drawn.blur, blur)
    # Noise before compression, as in a camera.
    noise = torch.Generator(frames.device).manual_seed(seed)
    frames = _on(frames, drawn.noise, lambda some, sigma: _noisy(some, sigma, noise))
    return _on(frames, drawn.quality, compress)


def blur(frames: Tensor, sigma: Tensor) -> Tensor:
    """Blur frames (B, 3, H, W) with a Gaussian, each with its own sigma (B,), a share of the width."""
    batch, channels, _, width = frames.shape
    sigma_px = sigma.to(frames.device) * width
    # Kernel size of the largest possible sigma: constant shapes, and no value is read from the GPU.
    reach = max(1, round(2.5 * BLUR_SIGMA[1] * width))
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=frames.device) / sigma_px[:, None]).square())
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(channels, 0).to(frames)
    flat = F.pad(frames, (reach, reach, reach, reach), mode="replicate").flatten(0, 1)[None]
    flat = F.conv2d(flat, taps[:, None, None, :], groups=batch * channels)
    flat = F.conv2d(flat, taps[:, None, :, None], groups=batch * channels)
    return flat.view(batch, channels, *frames.shape[2:])


def _grey(frames: Tensor) -> Tensor:
    weights = frames.new_tensor(BRIGHTNESS)[:, None, None]
    return (frames * weights).sum(1, keepdim=True).expand_as(frames)


def _noisy(frames: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    noise = torch.randn(frames.shape, generator=generator, device=frames.device, dtype=frames.dtype)
    return (frames + noise * sigma.to(frames)[:, None, None, None]).clamp(-1, 1)


def _on(frames: Tensor, strength: Tensor, degradation: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Apply a degradation to the frames whose strength is not 0."""
    chosen = strength.nonzero()[:, 0]
    if not len(chosen):
        return frames
    index = chosen.to(frames.device)
    return frames.index_copy(0, index, degradation(frames[index], strength[chosen].to(frames.device)))
