"""Random views of training frames: one camera for a pair, other colours and faults for the frame that lends its motion.

Only the motion encoder's input is degraded, and strongly: its output must not depend on blur, codecs or noise, and
nothing of it reaches the picture. The renderer moves the source's own pixels: a network that saw degraded targets would
learn to make them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dubline.training.stage1.data.jpeg import compress

if TYPE_CHECKING:
    from collections.abc import Callable

#: A crop around a found face is never exactly framed as the corpus is: the detector's box varies by some 10 %
#: (standard deviation) of its side. Outwards less, since there the picture's edge must be made up.
ZOOM_IN: Final = 0.2
ZOOM_OUT: Final = 0.12
SHIFT: Final = 0.12
TILT_RAD: Final = 0.14
#: Shares of the motion encoder's inputs that get each fault, and the faults' ranges. Sigma as a share of the side
#: (.006 = 1.5 px of 256); qualities of video calls and old uploads; noise in units of [-1, 1].
BLUR_SHARE: Final = 0.4
BLUR_SIGMA: Final = (0.0015, 0.006)
JPEG_SHARE: Final = 0.25
JPEG_QUALITY: Final = (20.0, 80.0)
NOISE_SHARE: Final = 0.4
NOISE_SIGMA: Final = (0.01, 0.12)
GREY_SHARE: Final = 0.1
#: BT.601: how bright red, green and blue look.
BRIGHTNESS: Final = (0.299, 0.587, 0.114)


class Degradations(NamedTuple):
    """What happens to each frame of a batch; 0 is nothing. On the CPU, so that choosing never waits for a GPU.

    blur: (B,), sigma as a share of the side. quality: (B,), JPEG's. noise: (B,), sigma. grey: (B,), 0 or 1.
    """

    blur: Tensor
    quality: Tensor
    noise: Tensor
    grey: Tensor


def random_cameras(batch: int, generator: torch.Generator) -> Tensor:
    """Random zooms, tilts and shifts: (B, 2, 3), output coordinates -> input coordinates in [-1, 1]."""
    zoom = 1 - ZOOM_IN + (ZOOM_IN + ZOOM_OUT) * torch.rand(batch, generator=generator)
    tilt = TILT_RAD * (2 * torch.rand(batch, generator=generator) - 1)
    shift = SHIFT * (2 * torch.rand(batch, 2, generator=generator) - 1)
    cos, sin = zoom * tilt.cos(), zoom * tilt.sin()
    return torch.stack([torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1)


def view(frames: Tensor, cameras: Tensor, *, bicubic: bool = False) -> Tensor:
    """Frames (B, 3, H, W) in [-1, 1] as seen by cameras (B, 2, 3); sharply for frames that have been seen by one."""
    grid = F.affine_grid(cameras, list(frames.shape), align_corners=False)
    mode = "bicubic" if bicubic else "bilinear"
    return F.grid_sample(frames, grid, mode, padding_mode="border", align_corners=False).clamp(-1, 1)


def project(points: Tensor, cameras: Tensor) -> Tensor:
    """Points (B, P, 2) in [-1, 1] of the unseen frame -> where cameras (B, 2, 3) put them."""
    rotation, shift = cameras[:, :, :2], cameras[:, :, 2]
    seen: Tensor = torch.linalg.solve(rotation, (points - shift[:, None]).mT).mT
    return seen


def random_colours(batch: int, generator: torch.Generator) -> Tensor:
    """Random gain and offset of every channel: (B, 2, 3, 1, 1)."""
    gain = 1 + 0.25 * (2 * torch.rand(batch, 3, generator=generator) - 1)
    gain = gain * (1 + 0.25 * (2 * torch.rand(batch, 1, generator=generator) - 1))
    offset = 0.15 * (2 * torch.rand(batch, 3, generator=generator) - 1)
    return torch.stack([gain, offset], 1)[..., None, None]


def recolour(frames: Tensor, colours: Tensor) -> Tensor:
    """Apply gains and offsets (B, 2, 3, 1, 1) to frames (B, 3, H, W) in [-1, 1]."""
    return (frames * colours[:, 0] + colours[:, 1]).clamp(-1, 1)


def random_degradations(batch: int, generator: torch.Generator) -> Degradations:
    """Independent faults for the motion encoder's inputs; about a quarter of them get none or only grey."""

    def some(share: float, low: float, high: float) -> Tensor:
        value = low + (high - low) * torch.rand(batch, generator=generator).square()
        return value * (torch.rand(batch, generator=generator) < share)

    quality = some(JPEG_SHARE, *JPEG_QUALITY)
    return Degradations(some(BLUR_SHARE, *BLUR_SIGMA), quality, some(NOISE_SHARE, *NOISE_SIGMA), some(GREY_SHARE, 1, 1))


@torch.no_grad()
def degrade(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Worse recordings of frames (B, 3, H, W) in [-1, 1], for the motion encoder; each frame by itself.

    Args:
        frames: on any device.
        generator: on the CPU; the same one gives the same faults.
    """
    faults = random_degradations(len(frames), generator)
    seed = int(torch.randint(2**31, (1,), generator=generator))
    frames = _on(frames, faults.grey, lambda some, _: _grey(some))
    frames = _on(frames, faults.blur, blur)
    # Sensors are noisy before codecs see the picture.
    noise = torch.Generator(frames.device).manual_seed(seed)
    frames = _on(frames, faults.noise, lambda some, sigma: _noisy(some, sigma, noise))
    return _on(frames, faults.quality, compress)


def blur(frames: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of frames (B, 3, H, W), each with its own sigma (B,), a share of the width."""
    batch, channels, _, width = frames.shape
    sigma_px = sigma.to(frames.device) * width
    # From the largest sigma that can come, not from this batch's: shapes stay the same, and no GPU is asked.
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


def _on(frames: Tensor, strength: Tensor, fault: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Apply a fault to the frames whose strength is not 0."""
    chosen = strength.nonzero()[:, 0]
    if not len(chosen):
        return frames
    index = chosen.to(frames.device)
    return frames.index_copy(0, index, fault(frames[index], strength[chosen].to(frames.device)))
