"""Warming of networks: a first pass through both stages, so that the first job does not wait for kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from dubline.models.precision import bf16_autocast
from dubline.models.sampling import sample_motion
from dubline.worker.rendering.device import render_batch
from dubline.worker.rendering.motion import PreparedSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dubline.models.weights import Networks


def warm(networks: Networks, device: torch.device) -> None:
    """Sample a frame of silence and render a batch of it."""
    preset = networks.preset

    def silence() -> Iterator[NDArray[np.float32]]:
        yield np.zeros(preset.sample_rate_hz // preset.fps, dtype=np.float32)

    with torch.inference_mode():
        crop = np.zeros((preset.size_px, preset.size_px, 3), dtype=np.uint8)
        source = PreparedSource.from_crop(networks, crop, device).source
        (latents,) = sample_motion(networks, source, silence, frame_count=1, seed=0)
        motion = latents.float().repeat(render_batch(preset.render_batch, device, preset.size_px), 1)
        with bf16_autocast(device):
            networks.autoencoder.fields(source, motion.to(device))
