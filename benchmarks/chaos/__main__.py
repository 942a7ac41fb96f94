"""Command line of the fault campaign: `python -m benchmarks.chaos --minutes 10 --seed 1`.

One of `--minutes` stands for 5,000 light jobs with 100 kills, 10 kills of real renders and 2,400 tasks of the Celery
baseline; the time they take depends on the machine. History and logs are kept in `out/chaos/SEED`. `--check` only
checks an existing history. The exit code is 1 if a job was lost or committed twice, or if a video differs.
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
from benchmarks.chaos.phases import light, renders, shared

from dubline.options.output import exit_if_unread
from dubline.worker.settings import LeaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

PHASES: Final = (light.NAME, renders.NAME, shared.NAME, baseline.NAME)
#: Other names of phases on the command line.
ALIASES: Final = {"baseline": baseline.NAME}
#: Names of earlier versions, accepted for one release.
FORMER_NAMES: Final = {"rival": baseline.NAME}
OUT: Final = Path("out/chaos")

# Amounts per minute of `--minutes`.
JOBS: Final = 5_000
KILLS: Final = 100
RENDER_KILLS: Final = 10
SHARED_KILLS: Final = 6
BASELINE_TASKS: Final = 2_400
BASELINE_KILLS: Final = 48
#: Minutes of `--minutes` per injection of each fault other than a kill.
MINUTES_PER_ROUND: Final = 3.0

#: Most jobs of one batch.
BATCH: Final = 1_000
#: Fewest batches, so that jobs are still being sent while faults are injected.
BATCHES: Final = 25
#: Events that are printed because the campaign did not run as scheduled.
NOT_AS_PLANNED: Final = frozenset({"fault_skipped", "restart_failed", "stalled"})
SHOWN: Final = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaign, or only check an existing history.

    Returns:
        0; 1 if one of our phases is not sound.
    """
    options = _parser().parse_args(arguments)
    # Exit through the context managers, so that disks are unmounted and the stack is stopped in order.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    folder: Path = options.out or OUT / str(options.seed)
    path = folder / "history.jsonl"
    if not options.check:
        with History(path) as history:
            for phase in options.phases:
                own = folder.resolve() / phase
                own.mkdir(parents=True, exist_ok=True)
                _runs(options.minutes, options.seed)[phase](history, own)
    elif not path.is_file():
        sys.exit(f"there is no history at {path}; run the campaign first, or name its folder with --out")
    return check_history(path)


def check_history(path: Path) -> int:
    """Check a history and print the report.

    Returns:
        0; 1 if one of our phases is not sound.
    """
    phases = {event["phase"]: None for event in read(path)}
    ours = {name: checker.check(_events_of(path, name)) for name in phases if name != baseline.NAME}
    theirs = baseline_checker.check(_events_of(path, baseline.NAME)) if baseline.NAME in phases else None
    for event in islice((event for event in read(path) if event["what"] in NOT_AS_PLANNED), SHOWN):
        sys.stdout.write(f"not as planned: {json.dumps(event)}\n")
    sys.stdout.writelines(f"{line}\n" for line in report.lines(ours, theirs))
    return 0 if all(verdict.sound for verdict in ours.values()) else 1


def _events_of(path: Path, phase: str) -> Iterator[Mapping[str, Any]]:
    return (event for event in read(path) if event["phase"] == phase)


def _runs(minutes: float, seed: int) -> dict[str, Callable[[History, Path], None]]:
    """Return a function per phase that runs it at the given amount."""
    leases = LeaseSettings()
    jobs = round(JOBS * minutes)
    light_plan = light.Plan(
        seed=seed,
        jobs=jobs,
        kills=max(3, round(KILLS * minutes)),
        rounds=max(1, round(minutes / MINUTES_PER_ROUND)),
        batch=max(1, min(BATCH, jobs // BATCHES)),
        lease_s=leases.duration_s,
        heartbeat_s=leases.heartbeat_s,
    )
    render_plan = renders.Plan(seed=seed, kills=max(1, round(RENDER_KILLS * minutes)))
    kills_of_shared = max(2, round(SHARED_KILLS * minutes))
    shared_plan = shared.Plan(
        seed=seed,
        jobs=kills_of_shared,
        kills=kills_of_shared,
        lease_s=leases.duration_s,
        heartbeat_s=leases.heartbeat_s,
    )
    tasks, kills = round(BASELINE_TASKS * minutes), max(1, round(BASELINE_KILLS * minutes))
    baseline_plan = baseline.Plan(seed=seed, tasks=tasks, kills=kills)
    return {
        light.NAME: lambda history, folder: light.run(light_plan, history, folder),
        renders.NAME: lambda history, folder: renders.run(render_plan, history, folder),
        shared.NAME: lambda history, folder: shared.run(shared_plan, history, folder),
        baseline.NAME: lambda history, folder: baseline.run(baseline_plan, history, folder),
    }


def _phase(name: str) -> str:
    if name in FORMER_NAMES:
        sys.stderr.write(f"the phase {name} is now called {FORMER_NAMES[name]}; the old name will be removed\n")
    return (ALIASES | FORMER_NAMES).get(name, name)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="amount of work and faults")
    parser.add_argument("--seed", type=int, default=1, help="seed of jobs and faults")
    parser.add_argument(
        "--phases", nargs="+", type=_phase, choices=PHASES, default=list(PHASES), help="phases to run (default: all)"
    )
    parser.add_argument("--out", type=Path, help="folder for history and logs (default: out/chaos/SEED)")
    parser.add_argument("--check", action="store_true", help="only check the existing history")
    return parser


if __name__ == "__main__":
    with exit_if_unread():
        sys.exit(main())
