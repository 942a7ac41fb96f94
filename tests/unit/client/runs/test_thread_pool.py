from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import pytest

from dubline.client.runs.thread_pool import ThreadPool

if TYPE_CHECKING:
    from dubline.client.client import Client


class Overtaken(SimpleQueue[Any]):
    """A queue whose last call a thread gets after the queue was found not to be empty."""

    def empty(self) -> bool:
        return False


def test_an_interruption_is_kept_when_a_thread_gets_the_last_call(client: Client) -> None:
    pool = ThreadPool(client)
    pool._waiting = Overtaken()
    with pytest.raises(KeyboardInterrupt), pool:
        raise KeyboardInterrupt
