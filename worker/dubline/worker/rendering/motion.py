"""Speech to motion on disk, and motion to frames: the two stages, each a generator of bounded memory.

The motion file is the checkpoint between them. A frame depends on the source and its own latent alone, so any
segment can be rendered again, anywhere, from the file.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Self

import numpy as np
import torch
from torch import Tensor

from dubline.models.motion.controls import USUAL, Controls
from dubline.models.precision import bf16_autocast
from dubline.models.sampling import Speech, sample_motion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from dubline.models.stage1.autoencoder import Source
    from dubline.models.weights import Networks

#: About five seconds: an attempt that lost its lease stops soon, and a redone segment costs little.
SEGMENT_FRAMES: Final = 120


def frame_count(duration_s: float, fps: int) -> int:
    """How many frames cover the speech: video outlasts audio by less than one frame.

    Args:
        duration_s: of the speech.
        fps: of the video.
    """
    # The thousandth of a frame forgives a duration that was rounded up to a double.
    return max(1, math.ceil(duration_s * fps - 1e-3))


def segment_frames(render_batch: int) -> int:
    """Frames of every segment but the last: whole batches, so that batches never depend on where one resumes.

    Args:
        render_batch: frames per call of the renderer.
    """
    return render_batch * math.ceil(SEGMENT_FRAMES / render_batch)


def segments(frames: int, render_batch: int) -> list[range]:
    """Split a video into spans of `segment_frames`.

    Args:
        frames: in the video.
        render_batch: frames per call of the renderer.
    """
    length = segment_frames(render_batch)
    return [range(start, min(frames, start + length)) for start in range(0, frames, length)]


@dataclass(frozen=True, slots=True)
class PreparedSource:
    """A portrait that the networks have looked at, ready to be animated."""

    networks: Networks
    """Both stages."""
    source: Source
    """All that they read off the source crop."""
    device: torch.device
    """Where both are."""

    @classmethod
    def from_crop(cls, networks: Networks, crop: NDArray[np.uint8], device: torch.device) -> Self:
        """Show a source crop, (side, side, 3) uint8 RGB, to the networks."""
        pixels = torch.from_numpy(crop).to(device).permute(2, 0, 1)[None]
        return cls(networks, networks.autoencoder.encode_source(pixels.float() / 127.5 - 1), device)

    def store_motion(
        self, speech: Speech, frames: int, seed: int, path: Path, controls: Controls = USUAL
    ) -> Iterator[int]:
        """Sample the motion of a whole recording into a file.

        Args:
            speech: gives a fresh stream of samples at each call.
            frames: how many frames to sample.
            seed: of the noise and the blinks.
            path: the .npy file to write, (frames, M) float16; complete when the iterator ends.
            controls: what to change about the motion.

        Yields:
            How many frames are done, after each window.
        """
        done = 0
        # Written, not mapped: a disk that is full would kill a process that writes through a map.
        with path.open("wb") as file:
            for window in sample_motion(self.networks, self.source, speech, frames, seed, controls=controls):
                if not done:
                    _write_header(file, (frames, window.shape[1]))
                file.write(window.numpy().astype("<f2", copy=False).tobytes())
                done += len(window)
                yield done
        if done != frames:
            raise RuntimeError(f"{done} motion latents came for {frames} frames")

    def render(self, motion: Path, span: range, batch: int) -> Iterator[Tensor]:
        """Render one segment from the stored motion.

        Args:
            motion: the file of `store_motion`.
            span: frame numbers, one of `segments`.
            batch: frames per call of the networks.

        Yields:
            (t, 3, side, side) in [-1, 1], t frames at most `batch`.
        """
        stored = np.load(motion, mmap_mode="r")
        for start in range(span.start, span.stop, batch):
            latents = np.array(stored[start : min(start + batch, span.stop)], dtype=np.float32)
            with bf16_autocast(self.device):
                frames = self.networks.autoencoder.render(self.source, torch.from_numpy(latents).to(self.device))
            yield frames.float()


def _write_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    described = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
