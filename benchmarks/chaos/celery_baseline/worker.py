"""Worker of the Celery baseline, with the options of Celery's documentation against loss.

`python -m benchmarks.chaos.celery_baseline.worker LOG` runs one worker with one child. Each task appends two lines to
the log, each in one write, so that lines of several processes do not mix.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Final

from celery import Celery

from dubline.orchestration.settings import BrokerSettings

TASK: Final = "baseline.work"
QUEUE: Final = "baseline"
#: Equal to the duration of a lease of Dubline, so that both detect a lost worker after the same time.
VISIBILITY_TIMEOUT_S: Final = 20


def create_app(broker_url: str) -> Celery:
    """Create the application of the sender and the workers: late acknowledgement, requeue when a worker is lost."""
    app = Celery("baseline", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_acks_on_failure_or_timeout=False,
        task_ignore_result=True,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT_S,
            # The defaults (every tenth interval of 10 s) restore unacknowledged messages up to 100 s late.
            "unacked_restore_interval": 1,
            "unacked_restore_throttle": 1,
        },
    )
    return app


def main(log: str) -> int:
    """Run one worker until a signal stops it."""
    app = create_app(BrokerSettings.read().url.get_secret_value())

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def work(task: str, duration_s: float) -> None:
        _append(log, "task_started", task)
        time.sleep(duration_s)
        _append(log, "task_finished", task)

    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    worker = app.Worker(
        hostname=f"celery-{os.getpid()}@chaos",
        queues=[QUEUE],
        pool="prefork",
        concurrency=1,
        loglevel="error",
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _append(log: str, what: str, task: str) -> None:
    line = json.dumps({"at": time.time(), "what": what, "task": task, "pid": os.getpid()}) + "\n"
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
