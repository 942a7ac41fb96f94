"""Kinds of clips from which mouths are learnt; each has a share of the samples, whatever its number of clips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from dubline.training.cli_errors import UsageError
from dubline.training.stage1.data.pairs import lip_gaps
from dubline.training.stage1.round_trips import MOUTH_CM, PARTED_CM, require_rendered

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from dubline.training.corpus import Clip

#: Gap above which lips are parted, in widths of the mouth.
PARTED_WIDTHS: Final = PARTED_CM / MOUTH_CM
#: Shares of recordings of people, of rendered clips, and of pictures with parted and with shut lips. Rendered heads
#: have exact lips, the others have the colours and the teeth of people.
SHARES: Final = {"recordings": 0.35, "rendered": 0.35, "parted pictures": 0.2, "shut pictures": 0.1}


class Kind(NamedTuple):
    """Clips of one kind."""

    clips: list[Clip]
    share: float
    """Of all samples; the shares of the kinds that are there sum to 1."""

    @property
    def pictures(self) -> bool:
        """Whether the clips are pictures, their own sources."""
        return len(self.clips[0].frames) == 1


def kinds_of(clips: Sequence[Clip]) -> list[Kind]:
    """Sort clips by their kind; those without landmarks are left out.

    Raises:
        UsageError: they cannot teach mouths.
    """
    sorted_clips: dict[str, list[Clip]] = {name: [] for name in SHARES}
    for clip in clips:
        if clip.landmarks is not None:
            sorted_clips[_name(clip, lip_gaps(clip.landmarks))].append(clip)
    found = {name: some for name, some in sorted_clips.items() if some}
    _require_parted([clip for some in found.values() for clip in some])
    if any("pictures" in name for name in found):
        require_rendered(clips)
    whole = sum(SHARES[name] for name in found)
    return [Kind(some, SHARES[name] / whole) for name, some in found.items()]


def _name(clip: Clip, gaps: NDArray[np.float32]) -> str:
    if len(clip.frames) > 1:
        return "rendered" if clip.labelled else "recordings"
    return "parted pictures" if gaps[0] > PARTED_WIDTHS else "shut pictures"


def _require_parted(clips: Sequence[Clip]) -> None:
    if not clips:
        raise UsageError("no clip has landmarks: measure them first, by python -m dubline.training.landmarks")
    if not any((lip_gaps(clip.landmarks) > PARTED_WIDTHS).any() for clip in clips if clip.landmarks is not None):
        raise UsageError("no mouth is open in these clips: give clips of speech, or portraits with parted lips")
