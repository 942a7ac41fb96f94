"""How well the time of jobs is predicted: demo jobs of both presets, each predicted from those that ended before it.

    python -m benchmarks.prediction [--jobs 12]

Starts the whole service, renders the demo's four rows again and again, BASE and TINY in turn, and then repeats the
learning from the rows of the attempts. It prints a line for each preset: the first job, which is predicted from the
work alone, and the others.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from benchmarks.database import driver_url
from psycopg.rows import namedtuple_row

from dubline.embedded import Stack
from dubline.options.output import exit_if_unread
from dubline.orchestration.domain.prediction import LearnedRate, Predictor, learn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DEMO: Final = Path(__file__).parents[1] / "demo" / "batch.jsonl"
PRESETS: Final = ("base", "tiny")
ATTEMPTS: Final = """
SELECT preset, pool, crop_size, work_s, extract(epoch FROM ended_at - attempts.started_at)::float8 AS occupied_s
FROM attempts JOIN jobs ON jobs.id = attempts.job_id WHERE outcome = 'succeeded' ORDER BY ended_at
"""


def rows(count: int) -> Iterator[str]:
    """Yield rows of a batch: each of the demo's with each preset, in turn."""
    demo = [json.loads(line) for line in DEMO.read_text().splitlines()]
    planned = cycle([(row, preset) for row in demo for preset in PRESETS])
    for number, (row, preset) in enumerate(islice(planned, count)):
        files = {name: str(DEMO.parent / row[name]) for name in ("portrait", "speech")}
        yield json.dumps({**row, **files, "custom_id": f"row-{number}", "preset": preset, "seed": number})


def render(count: int) -> list[Any]:
    """Render rows with the whole service; return the attempts, in the order in which they ended."""
    with Stack() as stack:
        batch = stack.folder / "rows.jsonl"
        batch.write_text("".join(f"{row}\n" for row in rows(count)))
        command = [sys.executable, "-m", "dubline.client", "batch", str(batch), "--out", str(stack.folder / "out")]
        environ = stack.environ | {"DUBLINE_URL": stack.url, "DUBLINE_API_KEY": stack.key}
        subprocess.run(command, check=True, env=environ, stdout=subprocess.DEVNULL)
        with psycopg.connect(driver_url(stack.environ["DUBLINE_DATABASE_URL"])) as connection:
            return connection.cursor(row_factory=namedtuple_row).execute(ATTEMPTS).fetchall()


def predicted_s(attempts: Sequence[Any]) -> Iterator[tuple[float, float]]:
    """Yield the predicted time of each attempt and its relative error, from the attempts before it."""
    learned: dict[tuple[str, str, str], LearnedRate] = {}
    for one in attempts:
        rate = Predictor(learned.values()).rate(one.preset, one.pool, one.crop_size)
        yield rate.factor * one.work_s, rate.job_error
        key = (one.preset, one.pool, one.crop_size)
        before = learned.get(key) or LearnedRate(
            preset=key[0], pool=key[1], crop_size=key[2], log_rate=0.0, variance=0.0, weight=0.0
        )
        learned[key] = learn(before, math.log(one.occupied_s / one.work_s))


def main() -> None:
    """Render and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=12, help="of both presets together, at least 6")
    attempts = render(parser.parse_args().jobs)
    both = list(zip(attempts, predicted_s(attempts), strict=True))
    for preset in PRESETS:
        first, *others = [(one.occupied_s, *predicted) for one, predicted in both if one.preset == preset]
        measured, predicted = (sum(one[column] for one in others) for column in (0, 1))
        off = statistics.median(abs(math.log(one[1] / one[0])) for one in others)
        print(
            f"{preset}: first measured {first[0]:.1f} s, predicted {first[1]:.1f} s +- {100 * first[2]:.0f} %; "
            f"{len(others)} others measured {measured:.1f} s, predicted {predicted:.1f} s "
            f"({100 * (predicted / measured - 1):+.0f} %), each off by {100 * math.expm1(off):.0f} % (median), "
            f"last error {100 * others[-1][2]:.0f} %"
        )


if __name__ == "__main__":
    with exit_if_unread():
        main()
