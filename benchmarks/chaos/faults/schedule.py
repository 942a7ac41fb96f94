"""What is done to whom, and when: a schedule that follows from a seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.testbed.proxy import Line, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(StrEnum):
    """Names of the faults, as they stand in the history."""

    KILL_CHILD = "kill_child"
    KILL_WORKER = "kill_worker"
    KILL_CONTROL = "kill_control"
    KILL_API = "kill_api"
    PAUSE_CHILD = "pause_child"
    RESTART_BROKER = "restart_broker"
    FLUSH_BROKER = "flush_broker"
    RESTART_DATABASE = "restart_database"
    BUCKET_ERRORS = "bucket_errors"
    BUCKET_SLOW = "bucket_slow"
    BUCKET_THROTTLED = "bucket_throttled"
    BUCKET_CUT = "bucket_cut"
    BUCKET_REFUSED = "bucket_refused"
    BUCKET_SILENT = "bucket_silent"
    SCRATCH_FULL = "scratch_full"


#: How the line to the bucket behaves under each of its faults.
LINES: Final[Mapping[Kind, Line]] = {
    Kind.BUCKET_ERRORS: Line(Mode.ERROR),
    Kind.BUCKET_SLOW: Line(Mode.DELAY, delay_s=0.3),
    Kind.BUCKET_THROTTLED: Line(Mode.THROTTLE, bytes_per_s=2000.0),
    Kind.BUCKET_CUT: Line(Mode.CUT),
    Kind.BUCKET_REFUSED: Line(Mode.REFUSE),
    Kind.BUCKET_SILENT: Line(Mode.SILENCE),
}

KILLS: Final = frozenset({Kind.KILL_CHILD, Kind.KILL_WORKER, Kind.KILL_CONTROL, Kind.KILL_API})
OTHERS: Final = tuple(kind for kind in Kind if kind not in KILLS)
#: Nothing begins later, so that every kill finds work.
LAST_SHARE: Final = 0.95
PARENT_KILLS: Final = 0.02
#: Shares of all kills; a process that has to be started anew costs two CPU seconds, a forked child a tenth.
SERVER_KILLS: Final = 0.005


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One thing that is done."""

    due: float
    """Share of the jobs that must be done first, 0 to 1."""
    kind: Kind
    """What."""
    spell_s: float = 0.0
    """How long it lasts, for what does not pass at once."""


def schedule(seed: int, kills: int, each: int, spell_s: tuple[float, float]) -> tuple[Fault, ...]:
    """Draw a schedule.

    Args:
        seed: the same seed draws the same schedule.
        kills: SIGKILLs, at least 3: one in 50 hits a worker with its child, one in 200 each control and the API,
            at least one each; the others hit children.
        each: how often each other fault happens.
        spell_s: shortest and longest spell of those that last.

    Returns:
        The faults in the order in which they fall due.
    """
    # Nothing depends on its being hard to guess.
    dice = random.Random(seed)  # noqa: S311
    servers = max(1, round(SERVER_KILLS * kills))
    parents = max(1, round(PARENT_KILLS * kills))
    kinds = [Kind.KILL_CONTROL, Kind.KILL_API] * servers + [Kind.KILL_WORKER] * parents
    kinds += [Kind.KILL_CHILD] * (kills - len(kinds))
    # Spread evenly, with jitter: two outages at one moment tell less than two apart.
    spells = [kind for _ in range(each) for kind in dice.sample(OTHERS, len(OTHERS))]
    share = LAST_SHARE / max(1, len(spells))
    lasting = [Fault((n + dice.random()) * share, kind, dice.uniform(*spell_s)) for n, kind in enumerate(spells)]
    return tuple(sorted([*(Fault(dice.uniform(0, LAST_SHARE), kind) for kind in kinds), *lasting]))
