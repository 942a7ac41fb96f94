"""A cache of networks on the device, one per process: by preset and version of the weights, within a budget."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

import structlog
import torch

from dubline.models.precision import supports_bf16
from dubline.models.weights import Networks, load_networks
from dubline.orchestration.domain.errors import WeightsUnusableError
from dubline.orchestration.domain.weights import held_name
from dubline.worker.rendering import device
from dubline.worker.runtime import metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from dubline.orchestration.domain.weights import Pin
    from dubline.worker.rendering.weights_cache import WeightsCache

_log = structlog.get_logger(__name__)


def _no_report() -> None:
    pass


class ModelCache:
    """Networks by preset and version, loaded at first use.

    Args:
        on: the device they are moved to.
        weights: versions on the disk.
        budget_bytes: memory of all networks. When others are loaded, those used least recently are removed before;
            the networks that are used now are kept, however large.
    """

    def __init__(self, on: torch.device, weights: WeightsCache, budget_bytes: int) -> None:
        self.device = on
        self._weights = weights
        self._budget_bytes = budget_bytes
        # In the order of their use.
        self._networks: dict[tuple[str, str], Networks] = {}
        self._lock = Lock()

    def get(self, preset: str, pin: Pin | None = None, report: Callable[[], None] = _no_report) -> Networks:
        """Return the networks of a preset.

        Args:
            preset: of the job.
            pin: the version; None: that of the package.
            report: called while weights are fetched; may raise to stop.

        Raises:
            dubline.models.weights.WeightsError: the preset does not exist, or its weights are missing or altered.
            WeightsUnusableError: the pinned version cannot be fetched.
        """
        packaged = self._weights.packaged_sha256(preset)
        with self._lock:
            try:
                return self._version(preset, packaged if pin is None else pin.sha256, report)
            except WeightsUnusableError as error:
                if pin is None or pin.pushed or pin.sha256 == packaged:
                    raise
                # The package of the worker that began the job had weights that are nowhere else.
                _log.warning(
                    "weights_replaced",
                    preset=preset,
                    former=pin.sha256,
                    sha256=packaged,
                    code=error.code,
                    detail=error.detail,
                    reason=repr(error.__cause__),
                )
                return self._version(preset, packaged, report)

    def held(self) -> list[str]:
        """Return the names of the networks on the device, as a claim needs them (`weights.held_name`)."""
        names = []
        for preset, sha256 in self._networks:
            names.append(held_name(preset, sha256))
            if sha256 == self._weights.packaged_sha256(preset):
                names.append(held_name(preset, None))
        return names

    def _version(self, preset: str, sha256: str, report: Callable[[], None]) -> Networks:
        key = (preset, sha256)
        networks = self._networks.pop(key, None)
        if networks is not None:
            metrics.CACHE.labels(preset, "hit").inc()
        else:
            started_s = monotonic()
            with self._weights.opened(preset, sha256, report) as folder:
                networks = load_networks(preset, torch.device("cpu"), folder)
            if self.device.type == "cpu" and not supports_bf16(self.device):
                networks.compile(device.compute_threads(self.device))
            self._make_room(networks.size_bytes)
            networks.to(self.device)
            metrics.CACHE.labels(preset, "miss").inc()
            metrics.LOADING.labels(preset).inc(monotonic() - started_s)
            _log.info("networks_loaded", preset=preset, sha256=sha256, device=str(self.device))
        self._networks[key] = networks
        metrics.HELD.set(self._held_bytes())
        return networks

    def _make_room(self, new_bytes: int) -> None:
        removed = False
        while self._networks and self._held_bytes() + new_bytes > self._budget_bytes:
            preset, sha256 = next(iter(self._networks))
            del self._networks[preset, sha256]
            removed = True
            metrics.EVICTED.labels(preset).inc()
            _log.info("networks_removed", preset=preset, sha256=sha256)
        if removed:
            device.release_memory()

    def _held_bytes(self) -> int:
        return sum(networks.size_bytes for networks in self._networks.values())
