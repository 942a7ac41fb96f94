"""One source with networks on a device, for benchmarks of parts of the renderer."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from benchmarks.speed import inputs
from benchmarks.speed.full_size import finish
from PIL import Image

from dubline.framing.crop import Square
from dubline.models.precision import bf16_autocast
from dubline.models.weights import Networks, load_networks
from dubline.worker.rendering.full_size.compositor import Compositor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dubline.models.stage1.autoencoder import Fields, Source


class Scene(NamedTuple):
    """One source on a device, with motion for any number of frames."""

    networks: Networks
    source: Source
    compositor: Compositor
    on: torch.device

    @classmethod
    def make(cls, preset: str, side: int, on: torch.device) -> Scene:
        """Encode the demo's portrait at a side; the same on every device."""
        networks = load_networks(preset, on)
        picture = np.array(_portrait(side), dtype=np.uint8)
        pixels = torch.from_numpy(picture).to(on).permute(2, 0, 1)[None]
        source = networks.autoencoder.encode_source(pixels.float() / 127.5 - 1)
        return cls(networks, source, Compositor(picture, Square(0, 0, side), on), on)

    def motion(self, frames: int) -> torch.Tensor:
        """Return motion that differs between frames."""
        noise = torch.randn(frames, self.source.motion.shape[-1], generator=torch.Generator().manual_seed(0))
        return self.source.motion + 0.3 * noise.to(self.on)

    def fields(self, motion: torch.Tensor) -> Fields:
        """Run the networks as the worker does."""
        with bf16_autocast(self.on):
            return self.networks.autoencoder.fields(self.source, motion)

    def frames(self, motion: torch.Tensor) -> NDArray[np.uint8]:
        """Compute finished frames."""
        return np.stack([frame.copy() for frame in finish(self.compositor, self.fields(motion))])


def _portrait(side: int) -> Image.Image:
    with Image.open(inputs.portrait().path) as opened:
        return opened.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
