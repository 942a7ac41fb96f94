"""All samples of a run, in memory, drawn by the shares of their kinds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from rich.progress import track

from dubline.models.precision import training_autocast
from dubline.training.mouth.samples import Samples, compute_samples
from dubline.training.stage1.data.mirroring import mirrored
from dubline.training.stage1.data.pairs import PairSampler, lip_gaps
from dubline.training.stage1.round_trips import RoundTrips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dubline.models.stage1.autoencoder import Autoencoder
    from dubline.training.mouth.kinds import Kind

#: Clips of a batch, driving frames of each, and frames from which each of these is selected.
SOURCES: Final = 4
DRIVES: Final = 2
CANDIDATES: Final = 8
#: Share of the batches that are mirrored.
MIRRORED_SHARE: Final = 0.5
#: A sample counts `SHUT` and its gap in units of `GAP_WIDTHS`, at most `OPEN`: few targets show teeth, and all of the
#: others look alike. Gaps are in widths of the mouth.
SHUT: Final = 0.3
GAP_WIDTHS: Final = 0.15
OPEN: Final = 2.5


class SamplePool:
    """Samples of several kinds.

    Args:
        kinds: lists of stored samples.
        shares: of the kinds in a batch; their sum is 1.
    """

    def __init__(self, kinds: Sequence[list[Samples]], shares: Sequence[float]) -> None:
        self.kinds, self.shares = kinds, np.asarray(shares)
        self.odds = [_odds(samples) for samples in kinds]
        self.seed(0)

    def seed(self, seed: int) -> None:
        """Start a new random sequence."""
        self.random = np.random.default_rng(seed)

    def draw(self, count: int) -> Samples:
        """Draw a batch."""
        drawn: list[Samples] = []
        for kind, odds, share in zip(self.kinds, self.odds, self.random.multinomial(count, self.shares), strict=True):
            drawn += [kind[index] for index in self.random.choice(len(kind), share, p=odds)]
        return Samples.batch(drawn)


def _odds(samples: list[Samples]) -> NDArray[np.float64]:
    gaps = lip_gaps(torch.stack([sample.landmarks for sample in samples]).cpu().numpy())
    weights: NDArray[np.float64] = SHUT + (gaps.astype(np.float64) / GAP_WIDTHS).clip(0, OPEN)
    odds: NDArray[np.float64] = weights / weights.sum()
    return odds


def fill_pool(network: Autoencoder, kinds: Sequence[Kind], count: int, device: torch.device, seed: int) -> SamplePool:
    """Compute the samples of a run.

    Args:
        network: stage 1, trained.
        kinds: of clips.
        count: number of samples of all kinds together.
        device: of network and samples.
        seed: of the pairs.
    """
    trips = _round_trips(network, kinds, device)
    stored: list[list[Samples]] = []
    for kind in kinds:
        # Without parameters of a rig driving frames are selected by their lips alone.
        sampler = PairSampler([replace(clip, geometry=None) for clip in kind.clips], device)
        sampler.seed(seed)
        stored.append(_samples(network, sampler, round(count * kind.share), trips if kind.pictures else None))
    pool = SamplePool(stored, [kind.share for kind in kinds])
    pool.seed(seed)
    return pool


def _round_trips(network: Autoencoder, kinds: Sequence[Kind], device: torch.device) -> RoundTrips | None:
    if not any(kind.pictures for kind in kinds):
        return None
    rendered = [clip for kind in kinds for clip in kind.clips if clip.labelled]
    return RoundTrips(network, PairSampler(rendered, device))


def _samples(network: Autoencoder, sampler: PairSampler, count: int, trips: RoundTrips | None) -> list[Samples]:
    """Compute samples of one kind; with `trips` its clips are pictures, which are rendered with other lips first."""
    drives, candidates = (DRIVES, CANDIDATES) if trips is None else (1, 1)
    stored: list[Samples] = []
    for _ in track(range(max(1, math.ceil(count / (SOURCES * drives)))), "computing samples"):
        pairs = sampler.draw(SOURCES, drives, candidates)
        if sampler.random.random() < MIRRORED_SHARE:
            pairs = mirrored(pairs)
        if trips is not None:
            with training_autocast(sampler.device):
                pairs = trips(pairs)
        stored += compute_samples(network, pairs).halves()
    return stored
