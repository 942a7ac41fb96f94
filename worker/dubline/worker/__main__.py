"""Starts a worker: `python -m dubline.worker render` on a GPU, `python -m dubline.worker probe` on a CPU.

SIGTERM lets the attempt at hand finish and then stops.
"""

import argparse
import os
import socket
import sys
import uuid
import warnings

from celery import Celery, signals
from pydantic import ValidationError

from dubline.orchestration import logs
from dubline.orchestration.queue import PROBE_QUEUE, RENDER_QUEUE, create_app
from dubline.orchestration.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    LeaseSettings,
    LimitSettings,
    LogSettings,
    WorkerSettings,
    complaints,
)
from dubline.worker import scratch
from dubline.worker.readiness import Readiness
from dubline.worker.tasks import Surroundings, register_probe, register_render

ROLES = {"render": (RENDER_QUEUE, register_render), "probe": (PROBE_QUEUE, register_probe)}
# Threads of torch that spin at barriers starve ffmpeg and each other: on two shared cores, sleeping ones rendered
# eight times as fast. Read once, when torch is loaded in the child.
SLEEPING_THREADS = ("OMP_WAIT_POLICY", "PASSIVE")
# Reading weights from a cold disk takes longer than the four seconds that Celery grants a new child.
CHILD_READY_S = 300.0
# Exit code of a worker without weights, device or decoders: whoever supervises it must see that it failed.
UNPREPARED = 3


def main(arguments: list[str] | None = None) -> int:
    """Runs one worker until a signal stops it.

    Returns:
        Celery's exit code; 2 after settings that are missing or wrong; 3 if it could not load what it works with.
    """
    parser = argparse.ArgumentParser(prog="python -m dubline.worker", description="Run one worker.")
    parser.add_argument("role", choices=sorted(ROLES))
    role = parser.parse_args(arguments).role
    os.environ.setdefault(*SLEEPING_THREADS)
    try:
        return _run(role)
    except ValidationError as error:
        sys.stderr.writelines(f"dubline: {complaint}\n" for complaint in complaints(error))
        return 2


def _run(role: str) -> int:
    log_settings = LogSettings.read()
    logs.configure(log_settings)
    queue, register = ROLES[role]
    app = create_app(BrokerSettings.read().url.get_secret_value())
    app.conf.worker_proc_alive_timeout = CHILD_READY_S
    settings = WorkerSettings.read()
    with scratch.home(settings.scratch_dir) as folder:
        around = Surroundings(
            database=DatabaseSettings.read(),
            bucket=BucketSettings.read(),
            leases=LeaseSettings.read(),
            limits=LimitSettings.read(),
            worker=settings,
            folder=folder,
            readiness=Readiness(),
        )
        register(app, around)
        exit_code = _serve(app, queue, log_settings.level)
        return UNPREPARED if around.readiness.given_up else exit_code


def _serve(app: Celery, queue: str, level: str) -> int:
    # Logs are ours; a receiver keeps Celery from setting up its own.
    signals.setup_logging.connect(_keep_logging, weak=False)
    # Messages are JSON without content, so a root user in a container risks nothing through them.
    warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")
    worker = app.Worker(
        hostname=f"{queue}-{uuid.uuid4().hex[:8]}@{socket.gethostname()}",
        queues=[queue],
        pool="prefork",
        concurrency=1,
        loglevel=level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _keep_logging(**_: object) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
