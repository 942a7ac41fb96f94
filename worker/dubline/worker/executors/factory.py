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
    LeaseSettings,
    LimitSettings,
    WorkerSettings,
)
from dubline.orchestration.storage.objects import Objects

if TYPE_CHECKING:
    from pathlib import Path

    from dubline.worker.executors.probe import ProbeExecutor
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.job import Renderer
    from dubline.worker.runtime.liveness import Pulse
    from dubline.worker.runtime.shutdown import Drain


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a child process knows of the world, besides its environment variables."""

    settings: WorkerSettings
    """Preset, device and period."""
    folder: Path
    """Scratch folder of this worker."""
    drain: Drain
    """Whether it is to stop."""
    pulse: Pulse
    """Shows that it goes round."""


def renderer(around: Surroundings) -> RenderExecutor:
    """Render with the released networks; the first preset is loaded by the end.

    Raises:
        dubline.models.weights.WeightsError: no such preset, or its weights are missing or altered.
        RuntimeError: no such device.
    """
    from dubline.worker.rendering import device  # noqa: PLC0415 - torch stays out of the prober
    from dubline.worker.rendering.model_cache import ModelCache  # noqa: PLC0415
    from dubline.worker.rendering.pipeline import Renderer  # noqa: PLC0415

    device.pin()
    models = ModelCache(device.choose(around.settings.device))
    models.get(around.settings.preset)
    return renderer_with(around, Renderer(models))


def renderer_with(around: Surroundings, own: Renderer) -> RenderExecutor:
    """Render with whatever makes videos."""
    from dubline.worker.executors.render import RenderExecutor  # noqa: PLC0415 - torch stays out of the prober

    return RenderExecutor(
        store=Store.connect(DatabaseSettings.read()),
        objects=Objects(BucketSettings.read()),
        renderer=own,
        leases=LeaseSettings.read(),
        folder=around.folder,
        worker=_name(),
        drain=around.drain,
        pulse=around.pulse,
    )


def prober(around: Surroundings) -> ProbeExecutor:
    """Probe uploads."""
    from dubline.worker.executors.probe import ProbeExecutor  # noqa: PLC0415 - as the others

    return ProbeExecutor(
        store=Store.connect(DatabaseSettings.read()),
        objects=Objects(BucketSettings.read()),
        leases=LeaseSettings.read(),
        limits=LimitSettings.read(),
        folder=around.folder,
        worker=_name(),
        drain=around.drain,
        pulse=around.pulse,
    )


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
