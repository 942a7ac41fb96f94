"""Speed and memory of the worker, within 15 minutes on two idle processors.

    python -m benchmarks.speed [--baseline COMMIT] [--only SECTION ...]

Ratios compare what ran in turn within one run, so they depend less on the machine than times do. With --baseline the
jobs are also rendered with the packages of that commit, in a temporary folder. On a busy machine start it with
`taskset -c 0`, so that no two threads of one process wait for each other, and compare processor times.

Sections: jobs (whole jobs by preset and size, with stages), full_size, scan, memory, overhead (of a job besides its
render), workers (several on this machine), cold_start. The last line has the figures that scripts read, by wall time;
the line before has those by processor time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from benchmarks import cold_start, machine
from benchmarks.speed import full_size, jobs, report, scan, service
from benchmarks.speed.sides import checked_out, revision
from rich.console import Console

from dubline.options.output import exit_if_unread
from dubline.worker.rendering import device

if TYPE_CHECKING:
    from collections.abc import Callable

OUT: Final = Path("out/bench")
PAIRS: Final = 3


def sections(folder: Path, baseline: Path | None, pairs: int) -> dict[str, Callable[[], Any]]:
    """Return a function for each section, in their order."""
    return {
        "jobs": lambda: list(jobs.compare(jobs.cases(folder), folder, baseline, pairs)),
        "memory": lambda: list(jobs.memory(folder)),
        "full_size": lambda: list(full_size.measure()),
        "scan": lambda: list(scan.measure()),
        "overhead": service.overhead,
        "workers": lambda: list(service.workers()),
        "cold_start": lambda: list(cold_start.measure(("base", "tiny"), 1)),
    }


def main() -> None:
    """Run the sections that are named."""
    names = list(sections(Path(), None, PAIRS))
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--baseline", metavar="COMMIT", help="also render with the packages of this commit")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="renders of each kind of job and side")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="SECTION")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the JSON and the plot")
    options = parser.parse_args()
    console, began_s = Console(width=160), time.monotonic()
    device.make_deterministic()
    results: dict[str, Any] = {
        "processor": machine.processor(),
        "processors": len(os.sched_getaffinity(0)),
        "torch": torch.__version__,
        "commit": revision(),
        "baseline": options.baseline,
        "load_before": os.getloadavg()[0],
    }
    console.print(*(f"{name}: {value}" for name, value in results.items()), sep=", ")
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="dubline-bench-")))
        baseline = opened.enter_context(checked_out(options.baseline)) if options.baseline else None
        for name, measure in sections(folder, baseline, options.pairs).items():
            if name in options.only:
                results[name] = measure()
                report.print_section(console, name, results[name])
                report.write(options.out, results)
    console.print(f"{time.monotonic() - began_s:.0f} s; {options.out}/results.json and jobs.svg")
    print("by processor time:", report.line(results, report.PROCESSOR))
    print(report.line(results))


if __name__ == "__main__":
    with exit_if_unread():
        main()
