"""Samples training pairs of stage 1: a source frame and driving frames of the same clip, with a common camera."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dubline.training.corpus import LIDS, LIPS
from dubline.training.loader import FrameStore
from dubline.training.stage1.data import augment
from dubline.training.stage1.losses.terms import ABOVE_LIPS, BELOW_LIPS, FRAMED_LANDMARKS, MOUTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dubline.training.corpus import Clip
    from dubline.training.stage1.data.exact_geometry import DensePair


#: Share of sources with shut lips, where a clip has labelled ones: most portraits have shut lips, most frames of speech
#: do not, and lips that part are harder to render than lips that part further.
SHUT_SHARE: Final = 0.5
#: Gap of the inner lips below which they are shut, in mm, and measured in pictures, in widths of the mouth. Measured
#: landmarks of shut lips are a little apart.
SHUT_MM: Final = 0.5
SHUT_WIDTHS: Final = 0.03


class Pairs(NamedTuple):
    """A training batch: B sources, each with N / B driving frames in a row."""

    sources: Tensor
    """(B, 3, S, S) in [-1, 1]."""
    driving: Tensor
    """(N, 3, S, S) in [-1, 1]."""
    augmented: Tensor
    """(N, 3, S, S), driving frames for the motion encoder, with other colours and degradations: a latent must not
    contain lighting or skin colour."""
    source_landmarks: Tensor
    """(N, 68, 2) in [-1, 1]."""
    driving_landmarks: Tensor
    """(N, 68, 2) in [-1, 1]."""
    landmarks_known: Tensor
    """(N,), 1 where landmarks are labels, 0 where they are mean positions of framed faces."""
    geometry: Tensor
    """(N, G), standardised rig parameters."""
    geometry_known: Tensor
    """(N,), 1 where rig parameters are known."""
    alone: Tensor
    """(B,), whether the clip is a picture, its own source."""
    dense: DensePair | None = None
    """Exact flow, if known."""


class PairSampler:
    """Samples pairs from clips, each clip with equal probability.

    Args:
        clips: labelled or not.
        device: of the batches; a GPU holds all frames.
    """

    def __init__(self, clips: Sequence[Clip], device: torch.device) -> None:
        self.device, self.store = device, FrameStore(clips, device)
        self.counts = [len(clip.frames) for clip in clips]
        self.landmarks = [clip.landmarks for clip in clips]
        known = [clip.geometry for clip in clips if clip.geometry is not None]
        everything = np.concatenate(known) if known else np.zeros((1, 1), np.float32)
        self.mean, self.std = everything.mean(0), everything.std(0) + 0.05
        self.geometry = [
            None if clip.geometry is None else ((clip.geometry - self.mean) / self.std).astype(np.float32)
            for clip in clips
        ]
        self.gaps = [None if clip.landmarks is None else lip_gaps(clip.landmarks) for clip in clips]
        self.shut = [_shut_frames(clip, gaps) for clip, gaps in zip(clips, self.gaps, strict=True)]
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start a new random sequence; a resumed run must not repeat its first pairs."""
        self.random = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, sources: int, drives: int, candidates: int = 1) -> Pairs:
        """Draw a batch of clips, with driving frames of each.

        Args:
            sources: number of clips.
            drives: driving frames of each.
            candidates: each driving frame is selected from so many: in turn the one whose lids, or lips, differ most
                from the source's. In most frames mouths are closed or half open and eyes are open; such pairs teach
                little about generated pixels.
        """
        chosen: list[int] = self.random.integers(len(self.counts), size=sources).tolist()
        times = [self._times(clip, drives, candidates) for clip in chosen]
        repeated = [clip for clip in chosen for _ in range(drives)]
        starts = [time[0] for time in times]
        ends = [end for time in times for end in time[1:]]
        cameras = augment.random_cameras(sources, self.generator).to(self.device)
        colours = augment.random_colours(sources, self.generator).to(self.device)
        seen, known = (self._known(tracks, repeated) for tracks in (self.landmarks, self.geometry))
        many_cameras, many_colours = cameras.repeat_interleave(drives, 0), colours.repeat_interleave(drives, 0)
        source = augment.recolour(augment.view(self.store.gather(chosen, starts), cameras), colours)
        driving = augment.recolour(augment.view(self.store.gather(repeated, ends), many_cameras), many_colours)
        return Pairs(
            source,
            driving,
            self._augment_driving(driving),
            augment.project(self._landmarks(chosen, starts).repeat_interleave(drives, 0), many_cameras),
            augment.project(self._landmarks(repeated, ends), many_cameras),
            seen,
            self._geometry(repeated, ends),
            known,
            torch.tensor([self.counts[clip] == 1 for clip in chosen], device=self.device),
        )

    def _times(self, clip: int, drives: int, candidates: int) -> list[int]:
        """Draw the source frame of a clip and its driving frames."""
        start, shut = int(self.random.integers(self.counts[clip])), self.shut[clip]
        if len(shut) and self.random.random() < SHUT_SHARE:
            start = int(self.random.choice(shut))
        drawn = self.random.integers(self.counts[clip], size=(drives, candidates))
        track, gaps = self.geometry[clip], self.gaps[clip]
        if gaps is None or candidates == 1:
            return [start, *drawn[:, 0].tolist()]
        if track is None:
            best = np.argmax(np.abs(gaps[drawn] - gaps[start]), axis=1)
            return [start, *drawn[np.arange(drives), best].tolist()]
        change = np.abs(track - track[start])
        # In turn, because lids would rarely decide beside lips: blinks are rare.
        scores = [change[:, part].sum(1)[frames] for part, frames in zip(cycle((LIDS, LIPS)), drawn, strict=False)]
        return [start, *drawn[np.arange(drives), np.argmax(scores, axis=1)].tolist()]

    def from_dense(self, dense: DensePair) -> Pairs:
        """Convert pairs with exact flow, one driving frame per source."""
        known = torch.ones(len(dense.driving), device=self.device)
        geometry = torch.zeros(len(known), self.mean.size, device=self.device)
        return Pairs(
            dense.source,
            dense.driving,
            self._augment_driving(dense.driving),
            dense.source_landmarks,
            dense.driving_landmarks,
            known,
            geometry,
            0 * known,
            torch.zeros(len(known), dtype=torch.bool, device=self.device),
            dense,
        )

    def _augment_driving(self, driving: Tensor) -> Tensor:
        colours = augment.random_colours(len(driving), self.generator).to(self.device)
        return augment.degrade(augment.recolour(driving, colours), self.generator)

    def _known(self, tracks: Sequence[NDArray[np.float32] | None], clips: Sequence[int]) -> Tensor:
        return torch.tensor([tracks[clip] is not None for clip in clips]).float().to(self.device)

    def _landmarks(self, clips: Sequence[int], times: Sequence[int]) -> Tensor:
        tracks = [self.landmarks[clip] for clip in clips]
        rows = [FRAMED_LANDMARKS if track is None else track[t] for track, t in zip(tracks, times, strict=True)]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def _geometry(self, clips: Sequence[int], times: Sequence[int]) -> Tensor:
        tracks = [self.geometry[clip] for clip in clips]
        unknown = np.zeros(self.mean.size, np.float32)
        rows = [unknown if track is None else track[t] for track, t in zip(tracks, times, strict=True)]
        return torch.from_numpy(np.stack(rows)).to(self.device)


def lip_gaps(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the gaps of the inner lips in widths of the mouth: landmarks (T, 68, 2) -> (T,)."""
    gap = np.linalg.norm(landmarks[:, ABOVE_LIPS] - landmarks[:, BELOW_LIPS], axis=-1).mean(1)
    width = np.linalg.norm(landmarks[:, MOUTH.start] - landmarks[:, MOUTH.start + 6], axis=-1)
    gaps: NDArray[np.float32] = gap / np.maximum(width, 1e-3)
    return gaps


def _shut_frames(clip: Clip, gaps: NDArray[np.float32] | None) -> NDArray[np.intp]:
    """List the frames with shut lips; none without labels."""
    if clip.aperture_mm is not None:
        return np.flatnonzero(clip.aperture_mm < SHUT_MM)
    return np.empty(0, np.intp) if gaps is None else np.flatnonzero(gaps < SHUT_WIDTHS)
