from __future__ import annotations

import anyio
import pytest

from dubline.api import in_flight
from dubline.api.in_flight import WORKING, InFlight
from dubline.orchestration.domain.errors import BusyError


def test_a_tenant_has_few_slots_at_once_and_others_have_theirs() -> None:
    flight = InFlight()
    working: list[str] = []
    finished = anyio.Event()

    async def work(tenant: str) -> None:
        async with flight.slot(tenant):
            working.append(tenant)
            await finished.wait()

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for tenant in ["acme"] * 20 + ["globex"]:
                group.start_soon(work, tenant)
            await anyio.wait_all_tasks_blocked()
            assert working == ["acme"] * WORKING + ["globex"]
            finished.set()
        assert len(working) == 21
        assert not flight._present
        assert not flight._free

    anyio.run(run)


def test_a_request_that_would_wait_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WORKING", 1)
    monkeypatch.setattr(in_flight, "WAIT_S", 0.01)
    flight = InFlight()

    async def run() -> None:
        async with flight.slot("acme"):
            with pytest.raises(BusyError):
                async with flight.slot("acme"):
                    pass
            monkeypatch.setattr(in_flight, "WAITING", 0)
            monkeypatch.setattr(in_flight, "WAIT_S", 60)
            with anyio.fail_after(10), pytest.raises(BusyError):
                async with flight.slot("acme"):
                    pass
        async with flight.slot("acme"):
            pass

    anyio.run(run)


def test_a_slot_that_is_handed_over_is_used_by_another_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WORKING", 1)
    flight = InFlight()

    async def run() -> None:
        async with flight.slot("acme") as first, first.handed_over(), flight.slot("acme"):
            pass
        assert not flight._free

    anyio.run(run)


def test_a_request_that_handed_its_slot_over_goes_on_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WORKING", 1)
    flight = InFlight()
    order: list[str] = []
    released = anyio.Event()

    async def other() -> None:
        async with flight.slot("acme"):
            order.append("other began")
            released.set()
            await anyio.wait_all_tasks_blocked()
            order.append("other ended")

    async def run() -> None:
        async with flight.slot("acme") as slot, anyio.create_task_group() as group:
            async with slot.handed_over():
                group.start_soon(other)
                await released.wait()
            order.append("first went on")
        async with flight.slot("acme") as slot, slot.handed_over():
            assert flight._free["acme"].value == 1

    anyio.run(run)
    assert order == ["other began", "other ended", "first went on"]


def test_a_request_that_is_cancelled_while_it_waits_frees_one_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "WORKING", 2)
    flight = InFlight()

    async def run() -> None:
        async with flight.slot("acme"):
            with anyio.CancelScope() as scope:
                async with flight.slot("acme") as slot, slot.handed_over():
                    scope.cancel()
                    await anyio.sleep_forever()
            assert flight._free["acme"].value == 1

    anyio.run(run)
