"""Schedule of faults, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from benchmarks.chaos.faults.defect import Defect
from benchmarks.chaos.testbed.proxy import Behaviour, Mode

if TYPE_CHECKING:
    from collections.abc import Mapping


class FaultKind(StrEnum):
    """Kinds of fault, named as in the history."""

    KILL_CHILD = "kill_child"
    KILL_WORKER = "kill_worker"
    KILL_MAINTENANCE = "kill_maintenance"
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
    ALWAYS_FAILING_DEVICE = Defect.ALWAYS_FAILING_DEVICE.value
    FAILS_EVERY_SECOND_JOB = Defect.FAILS_EVERY_SECOND_JOB.value


#: Behaviour of the proxy in front of the bucket under each bucket fault.
BUCKET_BEHAVIOURS: Final[Mapping[FaultKind, Behaviour]] = {
    FaultKind.BUCKET_ERRORS: Behaviour(Mode.ERROR),
    FaultKind.BUCKET_SLOW: Behaviour(Mode.DELAY, delay_s=0.3),
    FaultKind.BUCKET_THROTTLED: Behaviour(Mode.THROTTLE, bytes_per_s=2000.0),
    FaultKind.BUCKET_CUT: Behaviour(Mode.CUT),
    FaultKind.BUCKET_REFUSED: Behaviour(Mode.REFUSE),
    FaultKind.BUCKET_SILENT: Behaviour(Mode.SILENCE),
}

KILLS: Final = frozenset({FaultKind.KILL_CHILD, FaultKind.KILL_WORKER, FaultKind.KILL_MAINTENANCE, FaultKind.KILL_API})
OTHER_FAULTS: Final = tuple(kind for kind in FaultKind if kind not in KILLS)
#: Last share of finished jobs at which a fault is due, so that every kill finds a busy worker.
LAST_SHARE: Final = 0.95

# Shares of all kills. Starting a server process takes two CPU seconds, forking a light worker's child a tenth.
WORKER_KILLS: Final = 0.02
SERVER_KILLS: Final = 0.005


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One scheduled fault."""

    due: float
    """Share of the jobs that must be finished first, 0 to 1."""
    kind: FaultKind
    """What is done."""
    duration_s: float = 0.0
    """How long it lasts; 0 for faults that are over at once."""


def schedule(seed: int, kills: int, rounds: int, duration_s: tuple[float, float]) -> tuple[Fault, ...]:
    """Draw a schedule.

    Args:
        seed: equal seeds draw equal schedules.
        kills: number of SIGKILLs, at least 3. One in 50 hits a worker with its child, one in 200 each the maintenance
            process and the API, at least one each; the others hit children.
        rounds: number of injections of each fault that is not a kill.
        duration_s: shortest and longest duration of faults that last.

    Returns:
        The faults in the order in which they are due.
    """
    rng = random.Random(seed)  # noqa: S311 - not for cryptography
    servers = max(1, round(SERVER_KILLS * kills))
    workers = max(1, round(WORKER_KILLS * kills))
    kinds = [FaultKind.KILL_MAINTENANCE, FaultKind.KILL_API] * servers + [FaultKind.KILL_WORKER] * workers
    kinds += [FaultKind.KILL_CHILD] * (kills - len(kinds))
    # Evenly spaced with jitter, because two outages at the same time test less than two separate ones.
    others = [kind for _ in range(rounds) for kind in rng.sample(OTHER_FAULTS, len(OTHER_FAULTS))]
    share = LAST_SHARE / max(1, len(others))
    lasting = [Fault((n + rng.random()) * share, kind, rng.uniform(*duration_s)) for n, kind in enumerate(others)]
    return tuple(sorted([*(Fault(rng.uniform(0, LAST_SHARE), kind) for kind in kinds), *lasting]))
