"""Pools: names of workers that are alike, with the same presets, kind of device and price."""

from __future__ import annotations

from typing import Final

#: Pool of a worker that names none, and of the attempts of versions without pools.
DEFAULT_POOL: Final = "default"
#: Form of a name: part of a DNS label, because it becomes part of the names of objects in a cluster.
POOL_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
