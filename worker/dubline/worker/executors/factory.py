"""Makes the executors, once per child process. Networks and decoders are imported only where they are needed."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dubline.orchestration.database.store import Store
from dubline.orchestration.settings import (
    BucketSettings,
    DatabaseSettings,
    LimitSettings,
)
from dubline.orchestration.storage.objects import Objects
from dubline.worker.settings import LeaseSettings

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.worker.executors.probe import ProbeExecutor
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.job import Renderer
    from dubline.worker.runtime.liveness import LivenessFile
    from dubline.worker.runtime.shutdown import Shutdown
    from dubline.worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What a child process knows of the world, besides its environment variables."""

    settings: WorkerSettings
    """Preset, device and period."""
    folder: Path
    """Scratch folder of this worker."""
    shutdown: Shutdown
    """Whether it is to stop."""
    liveness: LivenessFile
    """Shows that it goes round."""


def renderer(context: WorkerContext) -> RenderExecutor:
    """Render with the released networks; the first preset is loaded by the end.

    Raises:
        dubline.models.weights.WeightsError: no such preset, or its weights are missing or altered.
        RuntimeError: no such device.
    """
    from dubline.worker.rendering import device  # noqa: PLC0415 - torch stays out of the prober
    from dubline.worker.rendering.model_cache import ModelCache  # noqa: PLC0415
    from dubline.worker.rendering.pipeline import Renderer  # noqa: PLC0415

    device.make_deterministic()
    models = ModelCache(device.choose(context.settings.device))
    models.get(context.settings.preset)
    return renderer_with(context, Renderer(models))


def renderer_with(context: WorkerContext, own: Renderer) -> RenderExecutor:
    """Render with whatever makes videos."""
    from dubline.worker.executors.render import RenderExecutor  # noqa: PLC0415 - torch stays out of the prober

    return RenderExecutor(
        store=Store.connect(DatabaseSettings.read()),
        objects=Objects(BucketSettings.read()),
        renderer=own,
        leases=LeaseSettings.read(),
        folder=context.folder,
        worker=_name(),
        shutdown=context.shutdown,
        liveness=context.liveness,
    )


def prober(context: WorkerContext) -> ProbeExecutor:
    """Probe uploads."""
    from dubline.worker.executors.probe import ProbeExecutor  # noqa: PLC0415 - as the others

    return ProbeExecutor(
        store=Store.connect(DatabaseSettings.read()),
        objects=Objects(BucketSettings.read()),
        leases=LeaseSettings.read(),
        limits=LimitSettings.read(),
        folder=context.folder,
        worker=_name(),
        shutdown=context.shutdown,
        liveness=context.liveness,
    )


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
