"""Animates pictures as the worker does, with its own compositor: margins, colours of the source, lids, room to move."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
import torch

from dubline.framing import crop
from dubline.models.precision import bf16_autocast
from dubline.models.sampling import sample_motion
from dubline.options.render import DEFAULT_CONTROLS, MotionControls
from dubline.worker.rendering import device, portrait
from dubline.worker.rendering.full_size.planes import MATRIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.framing.crop import Square
    from dubline.framing.face import FaceBox
    from dubline.models.stage1.autoencoder import Fields, Source
    from dubline.models.weights import Networks

#: RGB of luma and chroma, the inverse of the encoder's conversion: (3, 4), the last column is the offset.
TO_RGB: Final = np.linalg.inv(np.vstack((MATRIX, (0, 0, 0, 1))).astype(np.float64))[:3]


class Animation:
    """One picture and the motion of its face. Shown is the square of which the networks see the pixels.

    Args:
        networks: of one preset.
        picture: (H, W, 3) uint8 RGB, of even sides.
        face: box of the face in px of the picture. Default: the picture is framed as in the training clips.
    """

    def __init__(self, networks: Networks, picture: NDArray[np.uint8], face: FaceBox | None = None) -> None:
        self._networks, self._device = networks, next(networks.autoencoder.parameters()).device
        if face is None:
            self._portrait = portrait.prepare_framed(networks, picture, self._device)
            self._shown: Square | None = None
        else:
            self._portrait = portrait.prepare(networks, picture, face, 0.0, self._device)
            self._shown = crop.around(face)
        side = self._shown.side if self._shown else len(picture)
        self._batch = device.render_batch(networks.preset.render_batch, self._device, side)

    @property
    def source(self) -> Source:
        """The encoded square."""
        return self._portrait.source.source

    def sample_motion(
        self,
        speech: NDArray[np.float32],
        count: int,
        controls: MotionControls = DEFAULT_CONTROLS,
        seed: int = 0,
        networks: Networks | None = None,
    ) -> Tensor:
        """Sample motion from speech (N,) at 16 kHz: (count, M).

        Args:
            speech: mono.
            count: number of frames.
            controls: limited to what the picture can show.
            seed: of the noise and the blinks.
            networks: with another readout. Default: those of the picture.
        """
        possible = self._portrait.possible(controls)
        sampled = networks or self._networks
        windows = sample_motion(sampled, self.source, lambda: iter([speech]), count, seed, controls=possible)
        return torch.cat(list(windows)).to(self._device)

    @torch.inference_mode()
    def render(self, motion: Tensor, *, blinks: bool) -> Iterator[NDArray[np.uint8]]:
        """Render motion (T, M) in batches: frames (t, S, S, 3) of the square.

        Args:
            motion: of this picture.
            blinks: the motion is of `sample_motion`, so that its lids move by blinks only and only key frames are
                computed, as in the worker. Otherwise all are.
        """
        compositor = self._portrait.compositor
        for latents in motion.float().split(self._batch):
            fields = self._portrait.source.fields_of(latents) if blinks else self._computed(latents)
            frames = compositor.frames([compositor.enlarge(fields)])
            yield np.stack([self._square(to_rgb(frame)) for frame in frames])

    def _computed(self, latents: Tensor) -> Fields:
        with bf16_autocast(self._device):
            return self._networks.autoencoder.fields(self.source, latents)

    def _square(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return frame if self._shown is None else crop.cut(frame, self._shown)


def to_rgb(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert I420 (3 H / 2, W) to RGB (H, W, 3)."""
    height, width = frame.shape[0] * 2 // 3, frame.shape[1]
    chroma = frame[height:].reshape(2, height // 2, width // 2).transpose(1, 2, 0).astype(np.float32)
    planes = np.dstack((frame[:height], cv2.resize(chroma, (width, height), interpolation=cv2.INTER_LINEAR)))
    rgb: NDArray[np.uint8] = np.clip(np.rint(cv2.transform(planes, TO_RGB)), 0, 255).astype(np.uint8)
    return rgb
