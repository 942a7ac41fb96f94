"""From verdicts to what a person reads: a block for each phase, the rival beside it, one line for machines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SHOWN: Final = 20


def lines(ours: Mapping[str, Verdict], rival: Verdict | None) -> Iterator[str]:
    """Say everything; the last line has the figures of all our phases together.

    Args:
        ours: verdict of each of our phases, by its name.
        rival: that of the rival; None where it did not run.
    """
    for name, verdict in ours.items():
        yield f"{name}: {_figures(verdict)} kills_of_held={verdict.kills_of_held}"
        yield from _broken(verdict)
    if rival is not None:
        yield (
            f"rival: tasks={rival.jobs} kills={rival.kills} lost={len(rival.lost)} "
            f"done_twice={len(rival.committed_twice)} {_recovery(rival)}"
        )
    yield _figures(sum(ours.values(), start=Verdict()))


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


def _broken(verdict: Verdict) -> Iterator[str]:
    for word, found in (
        ("lost", verdict.lost),
        ("committed twice", verdict.committed_twice),
        ("differing", verdict.differing),
    ):
        yield from (f"  {word}: {one}" for one in found[:SHOWN])
        if len(found) > SHOWN:
            yield f"  {word}: and {len(found) - SHOWN} more"
