"""The two stages as generators of bounded memory: speech to a motion file, and the motion file to frames.

A frame depends only on the source and its own latent, so any segment can be rendered from the file by any process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, Self

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - its usual name

from dubline.models.layers import resize
from dubline.models.precision import bf16_autocast
from dubline.models.sampling import Speech, sample_motion
from dubline.models.stage1.shut_lids import OpenLids
from dubline.options.render import DEFAULT_CONTROLS, MotionControls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from dubline.models.stage1.autoencoder import Fields, Source
    from dubline.models.weights import Networks

#: Rows of a crop that are resampled at a time.
BAND_ROWS: Final = 64
#: About five seconds, so that a graceful shutdown ends soon and a segment that is rendered again costs little.
SEGMENT_FRAMES: Final = 120


def frame_count(duration_s: float, fps: int) -> int:
    """Return the number of frames that cover the speech: the video is longer than the audio by less than one frame.

    Args:
        duration_s: of the speech.
        fps: of the video.
    """
    # A thousandth of a frame of tolerance for durations that were rounded up to a double.
    return max(1, math.ceil(duration_s * fps - 1e-3))


def segment_frames(render_batch: int) -> int:
    """Return the length of every segment but the last: whole batches, so that batches are the same after a resume.

    Args:
        render_batch: frames per call of the renderer.
    """
    return render_batch * math.ceil(SEGMENT_FRAMES / render_batch)


def segments(frames: int, render_batch: int) -> list[range]:
    """Split a video into spans of `segment_frames`.

    Args:
        frames: number of frames of the video.
        render_batch: frames per call of the renderer.
    """
    length = segment_frames(render_batch)
    return [range(start, min(frames, start + length)) for start in range(0, frames, length)]


def batches(span: range, render_batch: int) -> list[range]:
    """Split a segment into the frames of each call of the renderer.

    Args:
        span: one of `segments`.
        render_batch: frames of each call but the last.
    """
    return [range(start, min(start + render_batch, span.stop)) for start in range(span.start, span.stop, render_batch)]


@dataclass(frozen=True, slots=True)
class PreparedSource:
    """A source crop that the networks have encoded."""

    networks: Networks
    """Both stages."""
    source: Source
    """The encoded source crop."""
    device: torch.device
    """The device of both."""

    @classmethod
    def from_crop(cls, networks: Networks, crop: NDArray[np.uint8], device: torch.device) -> Self:
        """Encode a source crop, (side, side, 3) uint8 RGB."""
        # Full-size pixels are moved by `full_size`, so they need not be kept here.
        source = networks.autoencoder.encode_source(_network_frame(networks, crop, device))
        return cls(networks, source._replace(frame=source.network_frame), device)

    def store_motion(
        self, speech: Speech, frames: int, seed: int, path: Path, controls: MotionControls = DEFAULT_CONTROLS
    ) -> Iterator[int]:
        """Sample the motion of a whole recording into a file.

        Args:
            speech: returns a new stream of samples at each call.
            frames: number of frames to sample.
            seed: seed of the noise and the blinks.
            path: the .npy file to write, (frames, M) float16. Frames that are done can be read.
            controls: motion controls.

        Yields:
            The number of frames that are done, after each window.
        """
        done = 0
        # Written and not memory-mapped: on a full disk a write to a mapping kills the process.
        with path.open("wb") as file:
            for window in sample_motion(self.networks, self.source, speech, frames, seed, controls=controls):
                if not done:
                    _write_header(file, (frames, window.shape[1]))
                    # A file of its final length can be mapped to read its first frames.
                    file.truncate(file.tell() + frames * window.shape[1] * window.element_size())
                file.write(window.numpy().astype("<f2", copy=False).tobytes())
                file.flush()
                done += len(window)
                yield done
        if done != frames:
            raise RuntimeError(f"{done} motion latents were sampled for {frames} frames")

    @torch.inference_mode()
    def can_blink(self) -> bool:
        """Tell whether both eyes can be shut."""
        with bf16_autocast(self.device):
            return self.networks.can_blink(self.source)

    @torch.inference_mode()
    def fields(self, motion: Path, frames: range) -> Fields:
        """Compute one batch from the stored motion, at the networks' side. Several threads may call it at once.

        Args:
            motion: file of `store_motion`.
            frames: one of `batches`.
        """
        latents = np.array(np.load(motion, mmap_mode="r")[frames.start : frames.stop], dtype=np.float32)
        return self.fields_of(torch.from_numpy(latents))

    @torch.inference_mode()
    def fields_of(self, motion: Tensor) -> Fields:
        """Compute one batch of sampled motion (T, M) in fp32: its key frames, and the others from them."""
        networks, source = self.networks, self.source
        moved = motion.to(self.device)
        lids = networks.open_lids(source, moved)
        keys, weights = networks.key_frames(moved, lids.closure)
        lids = OpenLids(lids.motion[keys], lids.closure[keys])
        with bf16_autocast(self.device):
            fields = networks.autoencoder.fields(source, moved[keys], lids)
        return fields.combined(keys, torch.from_numpy(weights).to(self.device))


def _network_frame(networks: Networks, crop: NDArray[np.uint8], device: torch.device) -> Tensor:
    """Resample a crop to the networks' side, (1, 3, S, S) in [-1, 1].

    Widths of bands of rows first, then heights, as one call does: its memory would follow the crop's side.
    """
    side = networks.preset.size_px

    def narrowed(rows: NDArray[np.uint8]) -> Tensor:
        pixels = torch.from_numpy(rows).to(device).permute(2, 0, 1)[None].float().div_(127.5).sub_(1)
        if len(crop) <= side:
            return pixels
        return F.interpolate(pixels, (len(rows), side), mode="bilinear", antialias=True)

    bands = (crop[first : first + BAND_ROWS] for first in range(0, len(crop), BAND_ROWS))
    return resize(torch.cat([narrowed(band) for band in bands], dim=2), side, side)


def _write_header(file: BinaryIO, shape: tuple[int, int]) -> None:
    described = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
