"""Stub networks: they shift the whole crop vertically by the loudness of the speech. Fast and deterministic."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dubline.models.motion.key_frames import KeyFrames
from dubline.models.stage1.autoencoder import Fields
from dubline.models.stage1.frame_decoder import GeneratedPixels
from dubline.models.stage1.shut_lids import OpenLids
from dubline.options.render import PRESETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dubline.options.render import MotionControls

FPS = 25
RATE_HZ = 16_000


class StubSource(NamedTuple):
    """Stub of an encoded source frame."""

    frame: Tensor
    network_frame: Tensor


class StubAutoencoder:
    """Stub of stage 1: the first value of a latent is a shift in px."""

    def encode_source(self, crop: Tensor) -> StubSource:
        assert crop.shape[0] == 1
        assert crop.shape[2] == crop.shape[3]
        return StubSource(crop, crop)

    def fields(self, source: StubSource, motion: Tensor, _open_lids: OpenLids) -> Fields:
        count, shifts = len(motion), motion[:, 0].round() * 2 / source.network_frame.shape[-1]
        displacement = torch.stack((torch.zeros(count), -shifts), dim=1)[..., None, None].expand(-1, -1, 32, 32)
        return Fields(displacement, GeneratedPixels(torch.zeros(count, 3, 64, 64), torch.zeros(count, 1, 64, 64)))


@dataclass(frozen=True)
class StubModels:
    """Stub of the worker's model cache."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def get(self, preset: str, _pin: object = None, _report: object = None) -> Any:
        assert preset in PRESETS
        return SimpleNamespace(
            preset=SimpleNamespace(size_px=128, fps=FPS, sample_rate_hz=RATE_HZ, render_batch=8),
            autoencoder=StubAutoencoder(),
            diffusion=None,
            open_lids=lambda _source, motion: OpenLids(motion, torch.zeros(len(motion))),
            key_frames=lambda motion, _closure: KeyFrames([*range(len(motion))], np.eye(len(motion), dtype=np.float32)),
            can_blink=lambda _source: True,
            sha256="0" * 64,
        )


def sample_motion(
    _networks: Any,
    _source: Any,
    speech: Callable[[], Iterator[np.ndarray]],
    frame_count: int,
    seed: int,
    *,
    controls: MotionControls,
) -> Iterator[Tensor]:
    """Stub of stage 2: the loudness of each frame's samples. Reads the speech twice, as the real one does."""
    loudest = max((float(np.abs(chunk).max()) for chunk in speech()), default=1.0)
    samples = np.concatenate(list(speech()))
    per_frame = RATE_HZ // FPS
    samples = np.pad(samples, (0, max(0, frame_count * per_frame - len(samples))))
    frames = np.abs(samples[: frame_count * per_frame]).reshape(frame_count, per_frame).mean(1)
    latents = torch.zeros(frame_count, 4, dtype=torch.float16)
    latents[:, 0] = torch.from_numpy(4 * frames / max(loudest, 1e-6))
    latents[:, 1] = seed
    latents[:, 2] = controls.head_motion
    yield from latents.split(30)
