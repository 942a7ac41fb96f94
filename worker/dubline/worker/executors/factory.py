"""Construction of the executors, once per child process. Networks and decoders are imported only where needed."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dubline.orchestration.database.store import Store
from dubline.orchestration.settings import BucketSettings, DatabaseSettings, LimitSettings
from dubline.orchestration.storage.objects import Objects
from dubline.worker.executors.health import Health
from dubline.worker.media import forks
from dubline.worker.media.provenance import Provenance
from dubline.worker.runtime import metrics
from dubline.worker.runtime.channel import AFTER_QUARANTINE
from dubline.worker.settings import LeaseSettings, ProvenanceSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from dubline.worker.executors.health import Counts
    from dubline.worker.executors.probe import ProbeExecutor
    from dubline.worker.executors.render import RenderExecutor
    from dubline.worker.rendering.job import Helper, Renderer
    from dubline.worker.runtime.liveness import LivenessFile
    from dubline.worker.runtime.shutdown import Shutdown
    from dubline.worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerContext:
    """What the parent process and the child's main function give an executor."""

    settings: WorkerSettings
    """Presets, device and poll interval."""
    folder: Path
    """Scratch folder of this worker."""
    shutdown: Shutdown
    """Shutdown state of this worker."""
    liveness: LivenessFile
    """Liveness file of this worker."""


def renderer(context: WorkerContext) -> RenderExecutor:
    """Make the executor of renders with the released networks; load those of the first preset.

    On a GPU those of all presets are loaded and warmed: kernels are compiled at their first use. On a CPU a preset that
    no job has is not loaded.

    Raises:
        ProvenanceError: videos cannot be signed as configured.
        dubline.models.weights.WeightsError: a preset does not exist, or its weights are missing or altered.
        RuntimeError: the device does not exist.
    """
    from dubline.worker.rendering import device  # noqa: PLC0415 - the prober must not import torch
    from dubline.worker.rendering.model_cache import ModelCache  # noqa: PLC0415
    from dubline.worker.rendering.pipeline import Renderer  # noqa: PLC0415
    from dubline.worker.rendering.warming import warm  # noqa: PLC0415
    from dubline.worker.rendering.weights_cache import WeightsCache  # noqa: PLC0415

    forks.prepare("decode")
    device.make_deterministic()
    settings = context.settings
    folder = settings.weights_dir or context.folder / "weights"
    weights = WeightsCache(folder, settings.weights_bytes, Objects(BucketSettings.read()))
    models = ModelCache(device.choose(settings.device), weights, settings.model_bytes)
    device.publish_memory(models.device)
    # The first preset last, so that it is not the one that was used least recently.
    for preset in reversed(settings.presets):
        if models.device.type != "cpu":
            warm(models.get(preset), models.device)
        elif preset == settings.presets[0]:
            models.get(preset)
        else:
            weights.verify(preset)
    pipeline = Renderer(models)
    return renderer_with(context, pipeline, models.held, pipeline)


def renderer_with(
    context: WorkerContext,
    pipeline: Renderer,
    held: Callable[[], Collection[str]] = tuple,
    helper: Helper | None = None,
) -> RenderExecutor:
    """Make the executor of renders with a given pipeline, which holds some networks and may help other workers."""
    from dubline.worker.executors.preference import Preference  # noqa: PLC0415 - the prober must not import torch
    from dubline.worker.executors.render import RenderExecutor  # noqa: PLC0415
    from dubline.worker.rendering import self_test  # noqa: PLC0415

    metrics.begin_counts(context.settings.pool)
    shared = _shared(context)
    test = partial(self_test.run, pipeline, context.settings.presets[0])
    provenance = Provenance.configured(ProvenanceSettings.read())
    return RenderExecutor(
        renderer=pipeline,
        pool=context.settings.pool,
        presets=context.settings.presets,
        preference=Preference(held=held),
        provenance=provenance,
        helper=helper,
        health=_health(shared, shared["store"].workers, test),
        **shared,
    )


def prober(context: WorkerContext) -> ProbeExecutor:
    """Make the executor of probes."""
    from dubline.worker.executors import probe_failures  # noqa: PLC0415 - the renderer needs no decoder of it
    from dubline.worker.executors.probe import ProbeExecutor  # noqa: PLC0415

    forks.prepare("examine")
    shared = _shared(context)
    counts = probe_failures.ProbeFailures(doubtful=AFTER_QUARANTINE in os.environ)
    health = replace(_health(shared, counts, probe_failures.self_test), isolated=True)
    return ProbeExecutor(limits=LimitSettings.read(), health=health, **shared)


def _health(shared: dict[str, Any], counts: Counts, self_test: Callable[[Path, Callable[[], None]], None]) -> Health:
    names = ("worker", "folder", "leases", "liveness")
    return Health(counts=counts, self_test=self_test, **{name: shared[name] for name in names})


def _shared(context: WorkerContext) -> dict[str, Any]:
    """Return the fields of `AttemptExecutor`."""
    return {
        "store": Store.connect(DatabaseSettings.read()),
        "objects": Objects(BucketSettings.read()),
        "leases": LeaseSettings.read(),
        "folder": context.folder,
        # The parent keeps its id while it replaces children, so that failures are counted over all of them.
        "worker": f"{socket.gethostname()}:{os.getppid()}/{os.getpid()}",
        "shutdown": context.shutdown,
        "liveness": context.liveness,
    }
