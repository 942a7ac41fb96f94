"""Whole jobs by preset and size, in pairs with the baseline; and their memory, each in a new process."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks.speed import inputs
from benchmarks.speed.sides import Side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.speed.inputs import Picture

#: Speech of the first job of each kind, which is not counted.
WARM_S: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One kind of job."""

    name: str
    preset: str
    picture: Picture
    speech_s: float
    height_px: int | None = None

    def described(self, folder: Path, speech_s: float | None = None) -> dict[str, Any]:
        """Return the values that `child` makes a job of; the speech is written to `folder`."""
        seconds = speech_s or self.speech_s
        return {
            "name": self.name,
            "preset": self.preset,
            "portrait": str(self.picture.path),
            "width_px": self.picture.width_px,
            "picture_height_px": self.picture.height_px,
            "face": self.picture.face,
            "height_px": self.height_px,
            "speech": str(inputs.speech(folder, seconds)),
            "duration_s": seconds,
        }


def cases(folder: Path) -> tuple[Case, ...]:
    """Return the kinds of jobs whose times are compared."""
    small, large = inputs.portrait(), inputs.close_up(folder)
    return (
        Case(name="base", preset="base", picture=small, speech_s=3.6),
        Case(name="tiny", preset="tiny", picture=small, speech_s=3.6),
        Case(name="base_1080p", preset="base", picture=large, speech_s=1.6),
        Case(name="tiny_1080p", preset="tiny", picture=large, speech_s=1.6),
    )


def compare(kinds: tuple[Case, ...], folder: Path, baseline: Path | None, pairs: int) -> Iterator[dict[str, Any]]:
    """Render each kind of job `pairs` times with this checkout and the baseline in turn.

    Yields:
        Of each kind: medians of wall time and processor time for a second of video, and of each stage's wall time; and
        the median ratio of the pairs. Neither side runs while the other one renders.
    """
    with ExitStack() as opened:
        sides = {"now": opened.enter_context(Side())}
        if baseline is not None:
            sides["baseline"] = opened.enter_context(Side(baseline))
        for kind in kinds:
            for side in sides.values():
                side.render(kind.described(folder, WARM_S))
            runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
            for number in range(pairs):
                # In alternate order, so that a drift of the processor's clock affects both alike.
                for name in sorted(sides, reverse=number % 2 == 1):
                    runs[name].append(sides[name].render(kind.described(folder)))
            yield {"name": kind.name, **summary(runs)}


def memory(folder: Path, *, quick: bool = False) -> Iterator[dict[str, Any]]:
    """Render one job each in a new process on two processors; yield the peaks of their memory, in MiB."""
    small, large = inputs.portrait(), inputs.close_up(folder)
    lengths = (WARM_S,) if quick else (2.0, 30.0)
    kinds = [
        Case(name=f"tiny, 128 px, {seconds:g} s", preset="tiny", picture=small, speech_s=seconds, height_px=128)
        for seconds in lengths
    ]
    if not quick:
        kinds += [
            Case(name="tiny, 512 px, 2 s", preset="tiny", picture=small, speech_s=2.0),
            Case(name="base, 512 px, 2 s", preset="base", picture=small, speech_s=2.0),
            Case(name=MEMORY_1080P, preset="base", picture=large, speech_s=2.0),
        ]
    for kind in kinds:
        with Side(processors=2) as side:
            costs = side.render(kind.described(folder))
            yield {"name": kind.name, "own_mb": costs["own_mb"], "all_mb": costs["all_mb"]}


#: The kind of job whose peak is `mem_peak_mb`.
MEMORY_1080P: Final = "base, 1080 x 1920 px, 2 s"


def summary(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return the medians of each side, and the ratio of the baseline to this checkout in each pair."""

    def rate(run: dict[str, Any], what: str) -> float:
        return float(run[what] / run["video_s"])

    summary: dict[str, Any] = {}
    for side, each in runs.items():
        stages = {stage for run in each for stage in run["stages_s"]}
        summary[side] = {
            "wall_s_per_s": statistics.median(rate(run, "wall_s") for run in each),
            "processor_s_per_s": statistics.median(rate(run, "processor_s") for run in each),
            "stages_s_per_s": {
                stage: statistics.median(run["stages_s"].get(stage, 0.0) / run["video_s"] for run in each)
                for stage in sorted(stages)
            },
        }
    if "baseline" in runs:
        both = list(zip(runs["baseline"], runs["now"], strict=True))
        for what in ("wall", "processor"):
            ratios = [rate(before, f"{what}_s") / rate(now, f"{what}_s") for before, now in both]
            summary[f"speedup_{what}"] = statistics.median(ratios)
            summary[f"speedup_{what}_range"] = [min(ratios), max(ratios)]
    return summary
