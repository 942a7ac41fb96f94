"""The cold start of a worker by parts: `python -m benchmarks.cold_start [--runs 3] [--presets base,tiny]`.

Starts the servers, queues a job and starts a worker, as a new pod does after its image was pulled; files are in the
disk cache from the second run on. Prints wall time and processor time: of the interpreter, of imports and of loading,
each in a process of its own; and of the whole worker, from its start to each event until its first claim. The first
worker fetches the weights into its disk cache; the others find them there.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from benchmarks.database import new_job
from benchmarks.machine import family, processor_s
from benchmarks.plans import TENANT

from dubline.embedded.stack import Stack
from dubline.options.output import exit_if_unread
from dubline.orchestration.database.store import Store
from dubline.orchestration.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SERVERS: Final = ("initdb", "database", "broker", "bucket", "prepare")
WITHIN_S: Final = 300.0
#: What a process of its own does. Each contains the interpreter; the child's contains torch.
ALONE: Final = {
    "interpreter": "pass",
    "parent: imports": "import dubline.worker.__main__",
    "child: torch": "import torch",
    "child: all imports": (
        "import dubline.worker.child, dubline.worker.executors.render, dubline.worker.rendering.pipeline, "
        "dubline.worker.rendering.model_cache, dubline.worker.rendering.self_test"
    ),
}
LOAD: Final = """
import torch
from dubline.models.weights import load_networks
load_networks({preset!r}, torch.device("cpu"))
"""
#: Log events of the worker in their order.
EVENTS: Final = ("weights_fetched", "networks_loaded", "worker_prepared", "job_leased")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--presets", default="base,tiny")
    options = parser.parse_args()
    for part in measure(options.presets.split(","), options.runs):
        print(
            f"{part['name']}: {part['wall_s']:.2f} s, of which {part['processor_s']:.2f} s of the processor "
            f"(median of {part['runs']})",
            flush=True,
        )


def measure(presets: Sequence[str], runs: int) -> Iterator[dict[str, Any]]:
    """Yield each part of the start with its wall time and processor time, medians in seconds."""
    loads = {f"child: torch, networks of {one}": LOAD.format(preset=one) for one in presets}
    for name, code in (ALONE | loads).items():
        yield _part(name, [_alone(code) for _ in range(runs)])
    cache = tempfile.mkdtemp(prefix="dubline-weights-")
    stack = Stack({"DUBLINE_WORKER_PRESETS": ",".join(presets), "DUBLINE_WORKER_WEIGHTS_DIR": cache})
    try:
        stack.start(only=SERVERS)
        with Store.connect(DatabaseSettings.model_validate({"url": stack.environ["DUBLINE_DATABASE_URL"]})) as store:
            store.keys.create(TENANT)
            cold = _worker(stack.environ, store)
            warm = [_worker(stack.environ, store) for _ in range(runs)]
    finally:
        stack.stop()
        shutil.rmtree(cache, ignore_errors=True)
    for disk, each in (("empty", [cold]), ("full", warm)):
        for name in each[0]:
            yield _part(f"worker, {disk} cache: until {name}", [run[name] for run in each])


def _alone(code: str) -> tuple[float, float]:
    """Run a process; return its wall time and processor time in seconds."""
    began_s = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return time.monotonic() - began_s, usage.ru_utime + usage.ru_stime


def _worker(environ: Mapping[str, str], store: Store) -> dict[str, tuple[float, float]]:
    """Start a worker; return the wall time until each event, and the processor time until the claim."""
    store.jobs.insert(TENANT, new_job(store, TENANT))
    words = [sys.executable, "-m", "dubline.worker", "render"]
    began_s, found = time.time(), dict[str, tuple[float, float]]()
    with subprocess.Popen(words, env={**environ}, stderr=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stderr is not None  # noqa: S101 - it is a pipe
            for line in process.stderr:
                event = json.loads(line)
                if event["event"] in EVENTS:
                    name = " ".join((event["event"], "" if event["event"] == "job_leased" else event.get("preset", "")))
                    at_s = datetime.fromisoformat(event["timestamp"]).timestamp()
                    found[name.strip()] = (at_s - began_s, sum(map(processor_s, family(process.pid))))
                if event["event"] == "job_leased" or time.time() - began_s > WITHIN_S:
                    break
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    return found


def _part(name: str, runs: list[tuple[float, float]]) -> dict[str, Any]:
    wall_s, processor_s = (statistics.median(one) for one in zip(*runs, strict=True))
    return {"name": name, "wall_s": wall_s, "processor_s": processor_s, "runs": len(runs)}


if __name__ == "__main__":
    with exit_if_unread():
        main()
