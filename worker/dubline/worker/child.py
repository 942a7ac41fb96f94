"""The worker's child process, which does the work: `python -m dubline.worker.child ROLE FD FOLDER`.

Only the parent process starts it, and starts a new one when it ends. The first one is a fork of the parent, made before
that has a second thread or torch; the others are new interpreters.
"""

from __future__ import annotations

import argparse
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from dubline.orchestration import logs, metrics, process, tracing
from dubline.orchestration.domain.errors import DeviceFailedError
from dubline.orchestration.settings import LogSettings, MetricsSettings
from dubline.worker.executors import factory
from dubline.worker.executors.factory import WorkerContext
from dubline.worker.media import decoder
from dubline.worker.runtime import credentials, scratch
from dubline.worker.runtime.channel import DEVICE_FAILED, QUARANTINED, UNPREPARED, ParentChannel
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.loop import Executor, Loop, QuarantinedError
from dubline.worker.runtime.shutdown import Shutdown
from dubline.worker.settings import WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable

_log = structlog.get_logger(__name__)

ROLES: Final[dict[str, Callable[[WorkerContext], Executor]]] = {"render": factory.renderer, "probe": factory.prober}


def main(arguments: list[str] | None = None) -> int:
    """Work in one role until the parent requests a stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m dubline.worker.child")
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("fd", type=int)
    parser.add_argument("folder", type=Path)
    parsed = parser.parse_args(arguments)
    return begin(parsed.role, parsed.fd, parsed.folder)


def begin(role: str, fd: int, folder: Path) -> int:
    """Work in one role until the parent requests a stop.

    Args:
        role: of `ROLES`.
        fd: as for `work`.
        folder: as for `work`.

    Returns:
        As `work`.
    """
    with tracing.configured({"render": "worker", "probe": "prober"}[role]):
        return work(ROLES[role], fd, folder)


def work(make: Callable[[WorkerContext], Executor], fd: int, folder: Path) -> int:
    """Run a child from start to exit.

    Args:
        make: makes the executor.
        fd: file descriptor of the child's end of the parent's socket.
        folder: scratch folder of this worker.

    Returns:
        0 after a stop, `UNPREPARED` if the executor could not be made, `DEVICE_FAILED` if the device failed,
        `QUARANTINED` if the worker failed its self-test.
    """
    # The parent handles signals and forwards them; a terminal sends them to both processes.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    shutdown = Shutdown()
    channel = ParentChannel(socket.socket(fileno=fd), shutdown)
    process.hide_memory()
    logs.configure(LogSettings.read())
    settings = WorkerSettings.read()
    liveness = LivenessFile.at(settings.liveness_file)
    scratch.sweep(folder)
    try:
        executor = make(WorkerContext(settings=settings, folder=folder, shutdown=shutdown, liveness=liveness))
    except Exception as error:  # noqa: BLE001 - any defect ends this process with its own exit code
        _log.critical("worker_not_prepared", error=f"{type(error).__name__}: {error}")
        _log.info("worker_preparation_failed", exc_info=True)
        return UNPREPARED
    # The clients of the database and the bucket have read them.
    credentials.remove()
    decoder.log_protections()
    _log.info("worker_prepared")
    try:
        with metrics.published(MetricsSettings.read()):
            Loop(executor=executor, channel=channel, shutdown=shutdown, liveness=liveness, poll_s=settings.poll_s).run()
    except DeviceFailedError:
        _log.critical("device_failed")
        return DEVICE_FAILED
    except QuarantinedError:
        return QUARANTINED
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
