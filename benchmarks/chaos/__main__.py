"""Runs a campaign and judges it: `python -m benchmarks.chaos --minutes 10 --seed 1`.

A minute stands for 5,000 light jobs with 100 kills, 10 kills of real renders and 2,400 tasks of the rival; how long
they take depends on the machine. The history and the logs are kept in `out/chaos/SEED`; `--check` judges a history
that is there already. Ends with 1 if anything was lost, done twice or rendered differently.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.chaos import checker, report
from benchmarks.chaos.celery_baseline import checker as baseline_checker
from benchmarks.chaos.celery_baseline import phase as baseline
from benchmarks.chaos.history import History, read
from benchmarks.chaos.phases import light, renders

from dubline.worker.settings import LeaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

PHASES: Final = (light.NAME, renders.NAME, baseline.NAME)
OUT: Final = Path("out/chaos")
JOBS: Final = 5_000
KILLS: Final = 100
RENDER_KILLS: Final = 10
#: For each minute.
RIVAL_TASKS: Final = 2_400
RIVAL_KILLS: Final = 48
#: Most jobs in one call, and fewest calls, so that jobs are still sent while faults come.
BATCH: Final = 1_000
BATCHES: Final = 25
NOT_AS_PLANNED: Final = frozenset({"fault_skipped", "not_restarted", "stalled"})
SHOWN: Final = 20
#: Each fault that is no kill comes once in so many minutes.
MINUTES_PER_ROUND: Final = 3.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for.

    Returns:
        0; 1 if one of our phases is not sound.
    """
    asked = _parser().parse_args(arguments)
    # So that disks are unmounted and parts stopped in order.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    folder: Path = asked.out or OUT / str(asked.seed)
    path = folder / "history.jsonl"
    if not asked.check:
        with History(path) as history:
            for phase in asked.phases:
                own = folder.resolve() / phase
                own.mkdir(parents=True, exist_ok=True)
                _plans(asked.minutes, asked.seed)[phase](history, own)
    return judge(path)


def judge(path: Path) -> int:
    """Judge a history and print what was found; 0 if everything is sound."""
    phases = {event["phase"]: None for event in read(path)}
    ours = {name: checker.check(_of(path, name)) for name in phases if name != baseline.NAME}
    theirs = baseline_checker.check(_of(path, baseline.NAME)) if baseline.NAME in phases else None
    for event in islice((event for event in read(path) if event["what"] in NOT_AS_PLANNED), SHOWN):
        sys.stdout.write(f"not as planned: {json.dumps(event)}\n")
    sys.stdout.writelines(f"{line}\n" for line in report.lines(ours, theirs))
    return 0 if all(verdict.sound for verdict in ours.values()) else 1


def _of(path: Path, phase: str) -> Iterator[Mapping[str, Any]]:
    return (event for event in read(path) if event["phase"] == phase)


def _plans(minutes: float, seed: int) -> dict[str, Callable[[History, Path], None]]:
    leases = LeaseSettings()
    jobs = round(JOBS * minutes)
    lit = light.Plan(
        seed=seed,
        jobs=jobs,
        kills=max(3, round(KILLS * minutes)),
        each=max(1, round(minutes / MINUTES_PER_ROUND)),
        batch=max(1, min(BATCH, jobs // BATCHES)),
        lease_s=leases.duration_s,
        heartbeat_s=leases.heartbeat_s,
    )
    rendered = renders.Plan(seed=seed, kills=max(1, round(RENDER_KILLS * minutes)))
    other = baseline.Plan(seed=seed, tasks=round(RIVAL_TASKS * minutes), kills=max(1, round(RIVAL_KILLS * minutes)))
    return {
        light.NAME: lambda history, folder: light.run(lit, history, folder),
        renders.NAME: lambda history, folder: renders.run(rendered, history, folder),
        baseline.NAME: lambda history, folder: baseline.run(other, history, folder),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how much is done")
    parser.add_argument("--seed", type=int, default=1, help="of every choice")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES), help="which of the three")
    parser.add_argument("--out", type=Path, help="folder for history and logs; out/chaos/SEED if not given")
    parser.add_argument("--check", action="store_true", help="only judge the history that is there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
