"""The client of the command line, from the environment."""

from __future__ import annotations

import os
from typing import Final

from dubline.client.client import DEFAULT_URL, Client
from dubline.client.errors import ClientError

#: Id of the process of `dubline up -- COMMAND`.
ENDS_WITH_COMMAND: Final = "DUBLINE_ENDS_WITH_CHILD_OF"


def connect() -> Client:
    """Create a client from DUBLINE_URL and DUBLINE_API_KEY.

    Raises:
        ClientError: there is no key, or the URL or the key is not valid.
    """
    key = os.environ.get("DUBLINE_API_KEY", "")
    if not key:
        raise ClientError("Set DUBLINE_API_KEY to your API key; `dubline up` prints the key of its server.")
    return Client(os.environ.get("DUBLINE_URL") or DEFAULT_URL, key)


def server_ends_with_command() -> bool:
    """Tell whether the server is stopped when this command has ended, so that nothing can be continued."""
    return os.environ.get(ENDS_WITH_COMMAND) == str(os.getppid())
