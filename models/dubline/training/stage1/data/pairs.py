"""Draws what stage 1 learns from: a source frame and a few driving frames of the same clip, under one camera."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dubline.training.corpus import LIDS, LIPS
from dubline.training.loader import FrameStore
from dubline.training.stage1.data import augment
from dubline.training.stage1.losses.terms import FRAMED_LANDMARKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dubline.training.corpus import Clip
    from dubline.training.stage1.data.exact_geometry import DensePair


class Pairs(NamedTuple):
    """A training batch: B sources, each with N / B driving frames in a row.

    sources: (B, 3, S, S) and driving: (N, 3, S, S), both in [-1, 1]. heard: (N, 3, S, S), the driving frames as the
    motion encoder sees them: in other colours and worse recordings, since a latent must not carry light and skin.
    source_landmarks, driving_landmarks: (N, 68, 2) in [-1, 1]. marked: (N,), 1 where they are known, 0 where they are
    a guess from the framing. geometry: (N, G), standardised. rigged: (N,), 1 where it is known.
    dense: the motion of every pixel, for pairs that know it.
    """

    sources: Tensor
    driving: Tensor
    augmented: Tensor
    source_landmarks: Tensor
    driving_landmarks: Tensor
    marked: Tensor
    geometry: Tensor
    rigged: Tensor
    dense: DensePair | None = None


class PairSampler:
    """Draws from clips, every clip equally often.

    Args:
        clips: labelled or not.
        device: where batches are made; on a GPU all frames lie there.
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
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start a new random sequence; a resumed run must not see its first pairs again."""
        self.random = np.random.default_rng(seed)
        self.generator = torch.Generator().manual_seed(seed)

    def draw(self, sources: int, drives: int, candidates: int = 1) -> Pairs:
        """A batch of clips, with driving frames of each.

        Args:
            sources: how many clips.
            drives: driving frames of each.
            candidates: frames that each driving frame is the most telling of, with lids least like the source's, or
                lips, by turns: mouths are shut or half open most of the time, eyes are open, and such pairs teach
                paint little.
        """
        chosen: list[int] = self.random.integers(len(self.counts), size=sources).tolist()
        times = [self._times(clip, drives, candidates) for clip in chosen]
        repeated = [clip for clip in chosen for _ in range(drives)]
        starts = [time[0] for time in times]
        ends = [end for time in times for end in time[1:]]
        cameras = augment.random_cameras(sources, self.generator).to(self.device)
        colours = augment.random_colours(sources, self.generator).to(self.device)
        labelled = torch.tensor([self.landmarks[clip] is not None for clip in repeated]).float().to(self.device)
        many_cameras, many_colours = cameras.repeat_interleave(drives, 0), colours.repeat_interleave(drives, 0)
        source = augment.recolour(augment.view(self.store.gather(chosen, starts), cameras), colours)
        driving = augment.recolour(augment.view(self.store.gather(repeated, ends), many_cameras), many_colours)
        return Pairs(
            source,
            driving,
            self._augment_driving(driving),
            augment.project(self._landmarks(chosen, starts).repeat_interleave(drives, 0), many_cameras),
            augment.project(self._landmarks(repeated, ends), many_cameras),
            labelled,
            self._geometry(repeated, ends),
            labelled,
        )

    def _times(self, clip: int, drives: int, candidates: int) -> list[int]:
        """The source's frame of a clip and its driving frames."""
        start = int(self.random.integers(self.counts[clip]))
        drawn = self.random.integers(self.counts[clip], size=(drives, candidates))
        track = self.geometry[clip]
        if track is None or candidates == 1:
            return [start, *drawn[:, 0].tolist()]
        change = np.abs(track - track[start])
        # Lids that count beside lips would never be the most telling: blinks are seldom.
        told = [change[:, part].sum(1)[frames] for part, frames in zip(cycle((LIDS, LIPS)), drawn, strict=False)]
        return [start, *drawn[np.arange(drives), np.argmax(told, axis=1)].tolist()]

    def lesson(self, dense: DensePair) -> Pairs:
        """Pair that know the motion of every pixel, one driving frame a source."""
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
            dense,
        )

    def _augment_driving(self, driving: Tensor) -> Tensor:
        colours = augment.random_colours(len(driving), self.generator).to(self.device)
        return augment.degrade(augment.recolour(driving, colours), self.generator)

    def _landmarks(self, clips: Sequence[int], times: Sequence[int]) -> Tensor:
        tracks = [self.landmarks[clip] for clip in clips]
        rows = [FRAMED_LANDMARKS if track is None else track[t] for track, t in zip(tracks, times, strict=True)]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def _geometry(self, clips: Sequence[int], times: Sequence[int]) -> Tensor:
        tracks = [self.geometry[clip] for clip in clips]
        nothing = np.zeros(self.mean.size, np.float32)
        rows = [nothing if track is None else track[t] for track, t in zip(tracks, times, strict=True)]
        return torch.from_numpy(np.stack(rows)).to(self.device)
