from __future__ import annotations

from threading import Event

import anyio
import pytest

from dubline.api import bulkhead
from dubline.api.bulkhead import CALLS, Bulkhead
from dubline.orchestration.domain.errors import BusyError, StorageUnavailableError


def failing() -> None:
    raise StorageUnavailableError


def test_every_call_that_ends_makes_room_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulkhead, "WAIT_S", 0.01)

    async def run() -> None:
        calls = Bulkhead()
        for _ in range(CALLS + 1):
            with pytest.raises(StorageUnavailableError):
                await calls.run(failing)
        assert [await calls.run(lambda: 7) for _ in range(CALLS + 1)] == [7] * (CALLS + 1)

    anyio.run(run)


def test_a_call_beside_too_many_others_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulkhead, "WAIT_S", 0.01)
    responds = Event()

    async def run() -> None:
        calls = Bulkhead()
        async with anyio.create_task_group() as group:
            for _ in range(CALLS):
                group.start_soon(calls.run, lambda: responds.wait(60))
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(BusyError):
                await calls.run(lambda: 7)
            responds.set()

    anyio.run(run)
