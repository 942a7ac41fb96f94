"""A cache of the networks of each preset, one per process."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import structlog

from dubline.models.weights import Networks, load_networks

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
            if preset not in self._networks:
                self._networks[preset] = load_networks(preset, self.device)
                _log.info("networks_loaded", preset=preset, device=str(self.device))
            return self._networks[preset]
