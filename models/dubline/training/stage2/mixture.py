"""Shares of rendered and of recorded clips, and of persons, in the windows that stage 2 trains on."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from dubline.training.cli_errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dubline.training.stage2.encoded_clips import EncodedClip


def clip_probabilities(clips: Sequence[EncodedClip], recorded: float) -> NDArray[np.float64]:
    """Return the probability of each clip.

    A recorded clip has no labels.

    Args:
        clips: from which windows are drawn.
        recorded: share of windows from recorded clips.

    Raises:
        UsageError: all clips are recorded or all are rendered.
    """
    real = np.array([clip.gap is None for clip in clips])
    if real.all() or not real.any():
        raise UsageError("--recorded needs clips with labels and clips without; leave it out for one kind")
    probabilities = np.full(len(clips), (1 - recorded) / (~real).sum())
    probabilities[real] = recorded * person_probabilities([clip.name for clip in clips if clip.gap is None])
    return probabilities


def person_probabilities(names: Sequence[str]) -> NDArray[np.float64]:
    """Return the probability of each recorded clip.

    A person is drawn in proportion to the square root of the number of clips, so that the person with most footage does
    not dominate and one with a single clip is not memorised.

    Args:
        names: of the clips.
    """
    persons = [person_of(name) for name in names]
    counts = Counter(persons)
    weights = np.array([counts[person] ** -0.5 for person in persons])
    probabilities: NDArray[np.float64] = weights / weights.sum()
    return probabilities


def person_of(name: str) -> str:
    """Return the first word of an encoded clip's name, which tells the person of footage."""
    return name.partition("-")[0]
