"""The two Celery tasks. A message is only a wake-up: it carries nothing, and the store says what to work on.

The parent of the prefork pool imports this and must stay small: executors, and the networks with them, are
made in the child.
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import structlog
from celery import Celery, signals

from dubline.orchestration.objects import Objects
from dubline.orchestration.queue import PROBE, RENDER
from dubline.orchestration.settings import (
    BucketSettings,
    DatabaseSettings,
    LeaseSettings,
    LimitSettings,
    WorkerSettings,
)
from dubline.orchestration.store import Store
from dubline.worker import scratch
from dubline.worker.readiness import Readiness

log = structlog.get_logger(__name__)


class Executor(Protocol):
    """Runs what is next."""

    def run_next(self) -> bool:
        """Claims and runs one piece of work; tells whether there was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What executors are made from, once per child process.

    Attributes:
        database: where the rows are.
        bucket: where the files are.
        leases: how long work is lent.
        limits: on what senders may send.
        worker: preset and device.
        folder: scratch folder of this worker.
        readiness: of this worker, shared with its parent.
    """

    database: DatabaseSettings
    bucket: BucketSettings
    leases: LeaseSettings
    limits: LimitSettings
    worker: WorkerSettings
    folder: Path
    readiness: Readiness


def register_render(app: Celery, around: Surroundings) -> None:
    """Makes the render task known to a Celery application."""
    _register(app, RENDER, around, lambda: _render_executor(around))


def register_probe(app: Celery, around: Surroundings) -> None:
    """Makes the probe task known to a Celery application."""
    _register(app, PROBE, around, lambda: _probe_executor(around))


def _register(app: Celery, name: str, around: Surroundings, make: Callable[[], Executor]) -> None:
    executor = cache(make)

    @app.task(name=name)  # type: ignore[untyped-decorator]
    def run_next() -> None:
        executor().run_next()

    @signals.worker_process_init.connect(weak=False)  # type: ignore[untyped-decorator]
    def prepare(**_: object) -> None:
        scratch.sweep(around.folder)
        try:
            executor()
        except Exception as error:
            # A child that died here would be replaced at once, for ever; the whole worker has to stop, and to say so.
            log.critical("worker_not_prepared", task=name, error=f"{type(error).__name__}: {error}")
            log.info("worker_preparation_failed", exc_info=True)
            around.readiness.give_up()
        else:
            log.info("worker_prepared", task=name)


def _render_executor(around: Surroundings) -> Executor:
    # torch belongs to the child alone: CUDA does not survive a fork.
    from dubline.worker import device  # noqa: PLC0415
    from dubline.worker.model_cache import ModelCache  # noqa: PLC0415
    from dubline.worker.pipeline import Renderer  # noqa: PLC0415
    from dubline.worker.render_task import RenderExecutor  # noqa: PLC0415

    device.pin()
    models = ModelCache(device.choose(around.worker.device))
    models.get(around.worker.preset)
    return RenderExecutor(
        store=Store.connect(around.database),
        objects=Objects(around.bucket),
        renderer=Renderer(models),
        leases=around.leases,
        folder=around.folder,
        worker=_name(),
    )


def _probe_executor(around: Surroundings) -> Executor:
    from dubline.worker.probe_task import ProbeExecutor  # noqa: PLC0415 - decoders stay out of the render worker

    return ProbeExecutor(
        store=Store.connect(around.database),
        objects=Objects(around.bucket),
        leases=around.leases,
        limits=around.limits,
        folder=around.folder,
        worker=_name(),
    )


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
