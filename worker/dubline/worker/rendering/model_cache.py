"""A cache of the networks of each preset, one per process."""

from __future__ import annotations

from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

import structlog

from dubline.models.weights import Networks, load_networks
from dubline.worker.runtime import metrics

if TYPE_CHECKING:
    import torch

_log = structlog.get_logger(__name__)


class ModelCache:
    """Networks by preset, loaded at first use.

    Args:
        device: the device they are moved to.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._networks: dict[str, Networks] = {}
        self._lock = Lock()

    def get(self, preset: str) -> Networks:
        """Return the networks of a preset.

        Raises:
            dubline.models.weights.WeightsError: the preset does not exist, or its weights are missing or altered.
        """
        with self._lock:
            if preset in self._networks:
                metrics.CACHE.labels(preset, "hit").inc()
            else:
                started_s = monotonic()
                self._networks[preset] = load_networks(preset, self.device)
                # Counted after loading: a preset that does not exist becomes no label.
                metrics.CACHE.labels(preset, "miss").inc()
                metrics.LOADING.labels(preset).inc(monotonic() - started_s)
                _log.info("networks_loaded", preset=preset, device=str(self.device))
            return self._networks[preset]
