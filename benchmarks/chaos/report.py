"""Printed report: one block per phase, the Celery baseline, and a last line for machines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Violations of one kind that are listed.
SHOWN: Final = 20


def lines(phases: Mapping[str, Verdict], baseline: Verdict | None) -> Iterator[str]:
    """Yield the lines of the report; the last one has the figures of all our phases together.

    Args:
        phases: verdict of each of our phases, by name.
        baseline: verdict of the Celery baseline; None if it was not run.
    """
    for name, verdict in phases.items():
        yield f"{name}: {_figures(verdict)} kills_of_held={verdict.kills_of_held}"
        yield from _violations(verdict)
    if baseline is not None:
        yield (
            f"celery: tasks={baseline.jobs} kills={baseline.kills} lost={len(baseline.lost)} "
            f"done_twice={len(baseline.committed_twice)} {_recovery(baseline)}"
        )
    yield _figures(sum(phases.values(), start=Verdict()))


def _figures(verdict: Verdict) -> str:
    differing = f" differing={len(verdict.differing)}" if verdict.differing else ""
    return (
        f"jobs={verdict.jobs} kills={verdict.kills} lost={len(verdict.lost)} "
        f"committed_twice={len(verdict.committed_twice)}{differing} "
        f"zombie_writes_refused={verdict.zombie_writes_refused} {_recovery(verdict)} "
        f"redone_share={verdict.redone_share:.4f}"
    )


def _recovery(verdict: Verdict) -> str:
    return " ".join(
        f"recovery_p{round(100 * share)}_s={'none' if math.isnan(seconds) else f'{seconds:.1f}'}"
        for share, seconds in ((share, verdict.recovery_s(share)) for share in (0.5, 0.95))
    )


def _violations(verdict: Verdict) -> Iterator[str]:
    for word, found in (
        ("lost", verdict.lost),
        ("committed twice", verdict.committed_twice),
        ("differing", verdict.differing),
    ):
        yield from (f"  {word}: {one}" for one in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"  {word}: and {len(found) - SHOWN} more"
