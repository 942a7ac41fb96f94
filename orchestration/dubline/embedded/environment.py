"""The environment of the stack's programs."""

from __future__ import annotations

import os
from typing import Final

from dubline.embedded.ports import LOOPBACK

_ALL_HOSTS: Final = "*"
_LOOPBACK_HOSTS: Final = (LOOPBACK, "localhost")


def inherited() -> dict[str, str]:
    """Return this process's environment for the programs and clients of the stack.

    Loopback is excluded from HTTP proxies, and AWS_* variables are removed, because a profile or an endpoint of AWS
    would redirect clients of the embedded bucket. The port of metrics is removed: the programs cannot share one.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("AWS_") and name != "DUBLINE_METRICS_PORT"
    }
    direct = _direct(kept.get("no_proxy") or kept.get("NO_PROXY") or "")
    return kept | {"NO_PROXY": direct, "no_proxy": direct}


def _direct(hosts: str) -> str:
    # A single star means all hosts; within a list, some programs treat it as a host name.
    if hosts.strip() == _ALL_HOSTS:
        return _ALL_HOSTS
    named = [host for host in map(str.strip, hosts.split(",")) if host]
    return ",".join((*named, *(host for host in _LOOPBACK_HOSTS if host not in named)))
