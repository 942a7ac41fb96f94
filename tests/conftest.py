"""What every test runs under."""

from __future__ import annotations

import os

from dubline.embedded.environment import inherited

# Servers on loopback are reached past a proxy, and by no profile that is meant for AWS.
kept = inherited()
os.environ.clear()
os.environ.update(kept)

# Before torch is loaded: threads that spin at barriers starve the servers that tests start beside it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
