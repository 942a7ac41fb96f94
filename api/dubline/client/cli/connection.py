"""The client of the command line, from the environment."""

from __future__ import annotations

import os

from dubline.client.client import DEFAULT_URL, Client
from dubline.client.errors import ClientError


def connect() -> Client:
    """Create a client from DUBLINE_URL and DUBLINE_API_KEY.

    Raises:
        ClientError: there is no key, or the URL or the key is not valid.
    """
    key = os.environ.get("DUBLINE_API_KEY", "")
    if not key:
        raise ClientError("Set DUBLINE_API_KEY to your API key; `dubline up` prints the key of its server.")
    return Client(os.environ.get("DUBLINE_URL") or DEFAULT_URL, key)
