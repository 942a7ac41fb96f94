"""Proxies of the environment: this machine is reached without one, and messages name the one that is used."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from dubline.client.errors import ClientError

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


def direct(url: str) -> dict[str, httpx2.BaseTransport | None]:
    """Return the mounts of httpx2 that bypass any proxy for hosts of this machine, that of a URL included."""
    host = urlsplit(url).hostname or ""
    own = [f"[{host}]" if ":" in host else host] if _is_loopback(host) else []
    return {f"all://{one}": None for one in (*_LOOPBACK, *own)}


def are_usable(url: str) -> bool:
    """Tell whether httpx2 can use the proxies of the environment, which it reads even for hosts that need none.

    Raises:
        ClientError: it cannot use them, and the URL is reached through one.
    """
    try:
        httpx2.Client(verify=False).close()
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        proxy = proxy_of(url)
        if proxy is None:
            return False
        raise ClientError(
            f"The proxy {proxy} of the environment cannot be used. Set HTTP_PROXY, HTTPS_PROXY or ALL_PROXY to one "
            "such as http://HOST:PORT, or name the server's host in NO_PROXY."
        ) from error
    return True


def proxy_of(url: str) -> str | None:
    """Return the proxy of the environment for a URL without its password; None if there is none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or _is_loopback(host) or proxy_bypass(host):
        return None
    return proxy.rpartition("@")[2]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
