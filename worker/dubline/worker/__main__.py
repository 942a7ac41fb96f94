"""The worker's parent process: `python -m dubline.worker render` on a GPU, `python -m dubline.worker probe` on a CPU.

The first SIGTERM or SIGINT requests a graceful shutdown: the current segment or probe is finished, then the job or
upload is released. A second one, or SIGQUIT, forces the stop.
"""

from __future__ import annotations

import sys

from dubline.orchestration import process

if __name__ == "__main__":
    # Before the other imports, which take a second.
    process.end_on_sigterm()

import argparse
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from dubline.orchestration import logs
from dubline.orchestration.queue import PROBE, PROBE_QUEUE, RENDER, RENDER_QUEUE, create_app
from dubline.orchestration.settings import (
    BrokerSettings,
    BucketSettings,
    DatabaseSettings,
    LimitSettings,
    LogSettings,
    MetricsSettings,
    validation_messages,
)
from dubline.worker import child, tasks
from dubline.worker.runtime import credentials, scratch
from dubline.worker.runtime.channel import UNPREPARED
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.supervisor import Supervisor
from dubline.worker.settings import LeaseSettings, ProvenanceSettings, WorkerSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from dubline.worker.runtime.forked_child import Work

#: Task and queue of the wake-ups of each role.
WAKE_UPS: Final = {"render": (RENDER, RENDER_QUEUE), "probe": (PROBE, PROBE_QUEUE)}
#: Settings that only the child uses; the parent validates them, so that it does not start with unusable ones.
CHILD_SETTINGS: Final = (
    *(DatabaseSettings, BucketSettings, LeaseSettings),
    *(LimitSettings, MetricsSettings, ProvenanceSettings),
)
#: With OpenMP's default, threads spin at barriers and take the processor from ffmpeg and each other: on two shared
#: cores passive waiting renders eight times as fast. Read once, when torch is loaded in the child.
PASSIVE_WAITING: Final = ("OMP_WAIT_POLICY", "PASSIVE")
#: numpy's linear algebra may split sums by thread, as torch does (`rendering.device`). Read once, when numpy is loaded.
ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "1")


def main(arguments: list[str] | None = None) -> int:
    """Run one worker until a signal stops it.

    Returns:
        As `serve`; 2 if a setting is missing or invalid.
    """
    parser = argparse.ArgumentParser(prog="python -m dubline.worker", description="Run one worker.")
    parser.add_argument("role", choices=sorted(WAKE_UPS))
    role = parser.parse_args(arguments).role
    try:
        for group in CHILD_SETTINGS:
            group.read()
        return serve(role, (sys.executable, "-m", "dubline.worker.child", role), partial(child.begin, role))
    except ValidationError as error:
        sys.stderr.writelines(f"dubline: {message}\n" for message in validation_messages(error))
        return 2


def serve(role: str, command: Sequence[str], first: Work | None = None) -> int:
    """Consume wake-ups and keep a child running.

    Args:
        role: render or probe.
        command: starts a child that calls `child.work` with the two arguments that are appended.
        first: the same for the first child, which is a fork; None: it is started by the command.

    Returns:
        0 after a stop, `channel.UNPREPARED` if the child could not load its networks or decoders.
    """
    process.hide_memory()
    os.environ.setdefault(*PASSIVE_WAITING)
    os.environ.update([ONE_THREAD])
    logs.configure(LogSettings.read())
    settings = WorkerSettings.read()
    app = create_app(BrokerSettings.read().url.get_secret_value())
    liveness = LivenessFile.at(settings.liveness_file)
    liveness.clear()
    task, queue = WAKE_UPS[role]
    with scratch.home(settings.scratch_dir) as folder:
        supervisor = Supervisor(command, folder, credentials.remove(), liveness, first)
        _stop_on_signals(supervisor)
        supervisor.start()
        try:
            tasks.register(app, task, supervisor.notify)
            tasks.consume(app, queue, lambda: supervisor.stopping)
        finally:
            if not supervisor.stopping:
                supervisor.stop()
            supervisor.wait()
            # A further signal must not change the exit code of a complete shutdown.
            _handle_signals(signal.SIG_IGN)
    return UNPREPARED if supervisor.gave_up else 0


def _stop_on_signals(supervisor: Supervisor) -> None:
    def stop(number: int, _frame: FrameType | None) -> None:
        supervisor.stop(force=number == signal.SIGQUIT)
        tasks.stop()

    _handle_signals(stop)


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
