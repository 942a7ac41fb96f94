"""The environment that programs of the stack inherit: ours, without what would lead them away from loopback."""

from __future__ import annotations

import os
from typing import Final

from dubline.embedded.ports import LOOPBACK

_EVERYWHERE: Final = "*"
_OURS: Final = (LOOPBACK, "localhost")


def inherited() -> dict[str, str]:
    """Copy this process's environment for a program of the stack, or one that talks to it.

    A proxy for HTTP is told to leave loopback alone, and AWS_* go: a profile or an endpoint meant for AWS
    would turn clients of our own bucket away.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    direct = _direct(kept.get("no_proxy") or kept.get("NO_PROXY") or "")
    return kept | {"NO_PROXY": direct, "no_proxy": direct}


def _direct(hosts: str) -> str:
    # Alone, the star means every host; in a list some programs take it for a name.
    if hosts.strip() == _EVERYWHERE:
        return _EVERYWHERE
    named = [host for host in map(str.strip, hosts.split(",")) if host]
    return ",".join((*named, *(host for host in _OURS if host not in named)))
