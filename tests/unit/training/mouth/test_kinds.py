"""Kinds of clips from which mouths are learnt."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dubline.training.cli_errors import UsageError
from dubline.training.mouth.kinds import kinds_of

if TYPE_CHECKING:
    from dubline.training.corpus import Clip


def with_gap(clip: Clip, gap: float) -> Clip:
    """Give a clip lips that are `gap` widths of the mouth apart."""
    landmarks = np.array(clip.landmarks)
    landmarks[:, [48, 54]] = [[-0.2, 0.3], [0.2, 0.3]]
    landmarks[:, [61, 62, 63]] = [[-0.1, 0.3], [0.0, 0.3], [0.1, 0.3]]
    landmarks[:, [67, 66, 65]] = landmarks[:, [61, 62, 63]] + np.float32([0, 0.4 * gap])
    return replace(clip, landmarks=landmarks)


def person(clip: Clip) -> Clip:
    return replace(clip, geometry=None, aperture_mm=None)


def picture(clip: Clip, gap: float) -> Clip:
    parted = with_gap(person(clip), gap)
    assert parted.landmarks is not None
    return replace(parted, frames=clip.frames[:1], landmarks=parted.landmarks[:1])


def test_clips_are_sorted_by_kind_whatever_their_number(clips: list[Clip]) -> None:
    one = clips[0]
    open_, shut = picture(one, 0.2), picture(one, 0.03)
    bare = replace(person(one), landmarks=None)
    kinds = kinds_of([person(one), one, shut, open_, bare, person(one), shut])
    assert [len(kind.clips) for kind in kinds] == [2, 1, 1, 2]
    assert [kind.share for kind in kinds] == pytest.approx([0.35, 0.35, 0.2, 0.1])
    assert [kind.pictures for kind in kinds] == [False, False, True, True]
    assert kinds[2].clips == [open_]


def test_shares_of_missing_kinds_go_to_the_others(clips: list[Clip]) -> None:
    kinds = kinds_of([clips[0], picture(clips[0], 0.2)])
    assert [kind.share for kind in kinds] == pytest.approx([0.35 / 0.55, 0.2 / 0.55])


def test_clips_that_cannot_teach_mouths_are_refused(clips: list[Clip]) -> None:
    one = clips[0]
    with pytest.raises(UsageError, match="pictures need rendered clips beside them"):
        kinds_of([picture(one, 0.2), person(one)])
    with pytest.raises(UsageError, match="no mouth is open"):
        kinds_of([with_gap(one, 0.03), with_gap(person(one), 0.0)])
    with pytest.raises(UsageError, match="no clip has landmarks"):
        kinds_of([replace(person(one), landmarks=None)])
