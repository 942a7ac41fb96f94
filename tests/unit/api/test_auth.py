from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from dubline.api import auth
from dubline.api.auth import Authenticator
from dubline.orchestration.database.store.accounts.keys import Caller
from dubline.orchestration.domain.errors import BusyError

if TYPE_CHECKING:
    from dubline.orchestration.database.store import Store


class SlowKeys:
    """Looks keys up as a database does that does not respond, until the test lets it."""

    def __init__(self) -> None:
        self.responds = Event()
        self.asked = 0

    def authenticate(self, _: str) -> Caller:
        self.asked += 1
        assert self.responds.wait(60)
        return Caller(tenant="acme", actor="key:1")


class SlowStore:
    def __init__(self) -> None:
        self.keys = SlowKeys()


def test_few_keys_are_looked_up_at_once_and_few_requests_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "LOOKUPS", 2)
    monkeypatch.setattr(auth, "LOOKUPS_WAITING", 3)
    store: Any = SlowStore()

    async def run(store: Store, keys: SlowKeys) -> None:
        authenticate = Authenticator(store)
        found: list[Caller] = []

        async def request(number: int) -> None:
            header = (b"authorization", f"Bearer {number}".encode())
            found.append(await authenticate({"method": "GET", "path": "/v1/jobs", "headers": [header]}))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(request, number)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(BusyError):
                await request(5)
            assert keys.asked <= 2
            keys.responds.set()
        assert len(found) == 5

    anyio.run(run, store, store.keys)
