from __future__ import annotations

from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from dubline.api import auth, bad_keys, key_cache
from dubline.api.auth import Authenticator
from dubline.orchestration.database.store.accounts.keys import Caller
from dubline.orchestration.domain.errors import BusyError, TooManyBadKeysError, UnauthorizedError

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


class Keys:
    """One good key, and how often it was looked up."""

    def __init__(self) -> None:
        self.found = 0

    def authenticate(self, key: str) -> Caller | None:
        self.found += key == "good"
        return Caller(tenant="acme", actor="key:1") if key == "good" else None


def test_a_guesser_does_not_lock_out_a_key_of_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each request looks its key up again.
    monkeypatch.setattr(key_cache, "STALE_S", -1.0)
    monkeypatch.setattr(bad_keys, "REFILL_S", 3600.0)
    keys = Keys()
    store: Any = SimpleNamespace(keys=keys)

    async def run() -> None:
        authenticate = Authenticator(store)

        async def request(key: str, address: str = "192.0.2.1") -> Caller:
            header = (b"authorization", f"Bearer {key}".encode())
            return await authenticate(
                {"method": "GET", "path": "/v1/jobs", "headers": [header], "client": (address, 1)}
            )

        await request("good")
        for number in range(bad_keys.BURST):
            with pytest.raises(UnauthorizedError):
                await request(f"guess-{number}")
        with pytest.raises(TooManyBadKeysError):
            await request("another guess")
        with pytest.raises(UnauthorizedError):
            await request("another guess", "192.0.2.2")
        await request("good")

    anyio.run(run)
    assert keys.found == 2
