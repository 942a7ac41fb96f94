"""Compare policies that scale workers: `python -m dubline.orchestration.scaling.simulate --seeds 5`.

Chooses one setting of each policy on training traces and measures it on others. Prints two tables and a line of
figures.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import Progress

from dubline.options.output import exit_if_unread
from dubline.orchestration.scaling.simulation import plot, report, trace_file
from dubline.orchestration.scaling.simulation.conditions import Conditions
from dubline.orchestration.scaling.simulation.policies import candidates
from dubline.orchestration.scaling.simulation.study import study
from dubline.orchestration.scaling.simulation.traces import KINDS, Trace, generate

if TYPE_CHECKING:
    from collections.abc import Sequence

Traces = dict[tuple[str, int], Trace]
#: Seeds of the generated training traces. Those of the unseen ones begin with 0.
TRAINING_SEEDS: Final = (1001, 1002)
DEFAULTS: Final = Conditions()
SEEDS_MAX: Final = 1000
#: Columns of the tables when the output is not a terminal.
COLUMNS_MIN: Final = 150


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a study.

    Returns:
        The exit code: 0 for success, 1 if the trace cannot be read or the picture cannot be written, which is printed
        in one sentence.
    """
    parsed = _parser().parse_args(arguments)
    conditions = Conditions(
        cold_start_s=parsed.cold_start_s, wait_target_s=parsed.target_s, price_per_hour=parsed.price_per_hour
    )
    try:
        training, unseen = _read(parsed.trace, parsed.seeds) if parsed.trace else _generate(parsed.seeds)
    except trace_file.TraceFileError as error:
        sys.stderr.write(f"dubline: {error}\n")
        return 1
    policies = candidates(conditions)
    runs = sum(len(policy.values) * len(training) + len(unseen) for policy in policies)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("simulations", total=runs)
        results = study(policies, training, unseen, conditions, lambda: bar.advance(task))
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=COLUMNS_MIN)
    console.print(report.overview(results, conditions))
    console.print(report.by_kind(results, conditions))
    for line in report.figures(results, conditions):
        sys.stdout.write(f"{line}\n")
    if parsed.plot:
        try:
            parsed.plot.write_text(plot.svg(results), encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"dubline: {parsed.plot} cannot be written: {error.strerror}.\n")
            return 1
    return 0


def _generate(seeds: int) -> tuple[Traces, Traces]:
    training = {(kind, seed): generate(kind, seed) for seed in TRAINING_SEEDS for kind in KINDS}
    return training, {(kind, seed): generate(kind, seed) for seed in range(seeds) for kind in KINDS}


def _read(path: Path, seeds: int) -> tuple[Traces, Traces]:
    """Train on the first half of a file. The seeds differ in cold starts, failures and losses only."""
    trace = trace_file.read(path)
    hours: dict[str, float] = {}
    for arrival in trace.arrivals:
        hours[arrival.preset] = hours.get(arrival.preset, 0.0) + arrival.device_s / 3600.0
    shown = ", ".join(f"{preset} {work:.1f}" for preset, work in sorted(hours.items()))
    sys.stdout.write(f"{len(trace.arrivals)} jobs; device hours by preset: {shown}\n")
    first, second = trace_file.halves(trace)
    training = {(path.name, seed): first for seed in TRAINING_SEEDS}
    return training, {(path.name, seed): second for seed in range(seeds)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dubline.orchestration.scaling.simulate", description=__doc__)
    parser.add_argument("--seeds", type=_count, default=5, help="unseen traces of each kind (default: 5)")
    parser.add_argument("--trace", type=Path, help="CSV of your own jobs: arrival,device_s,preset")
    parser.add_argument("--cold-start-s", type=_positive, default=DEFAULTS.cold_start_s, help="median cold start")
    parser.add_argument(
        "--target-s", type=_positive, default=DEFAULTS.wait_target_s, help="time for a job from its arrival to its end"
    )
    parser.add_argument(
        "--price-per-hour", type=_positive, default=DEFAULTS.price_per_hour, help="money for an hour of one device"
    )
    parser.add_argument("--plot", type=_picture, help="SVG file to write")
    return parser


def _picture(text: str) -> Path:
    path = Path(text)
    # A study takes minutes.
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file in a folder that exists")
    return path


def _count(text: str) -> int:
    count = int(text) if text.isascii() and text.isdecimal() else 0
    if not 1 <= count <= SEEDS_MAX:
        raise argparse.ArgumentTypeError(f"is {text}, expected 1 to {SEEDS_MAX}")
    return count


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"is {text}, expected a number above 0")
    return number


if __name__ == "__main__":
    with exit_if_unread():
        sys.exit(main())
