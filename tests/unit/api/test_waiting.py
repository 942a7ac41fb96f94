from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from dubline.api import waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LONG_S = 30.0


class Poll:
    """A request of a tenant that waits for a number: `values` are read one after another, the last one again."""

    def __init__(self, tenant: str, *values: int, gone: bool = False) -> None:
        self.state = SimpleNamespace(tenant=tenant, slot=self)
        self.reads = 0
        self.handed_over_at: list[int] = []
        self.waits = anyio.Event()
        self._values, self._gone = values, gone

    async def is_disconnected(self) -> bool:
        return self._gone

    @asynccontextmanager
    async def handed_over(self) -> AsyncIterator[None]:
        self.handed_over_at.append(self.reads)
        self.waits.set()
        yield

    def read(self) -> int:
        self.reads += 1
        return self._values[min(self.reads, len(self._values)) - 1]

    async def until(self, wanted: int, wait_s: float = LONG_S) -> int:
        request: Any = self
        return await waiting.until(request, wait_s, self.read, lambda value: value == wanted)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_FIRST_S", 0.001)
    monkeypatch.setattr(waiting, "_LONGEST_S", 0.002)


def test_a_poll_reads_until_its_value_comes_and_hands_its_slot_over_meanwhile() -> None:
    poll = Poll("acme", 1, 2, 3)
    assert anyio.run(poll.until, 3) == 3
    assert poll.handed_over_at == [1, 2]
    assert not waiting._waiting


@pytest.mark.parametrize(("poll", "wait_s"), [(Poll("acme", 1), 0.0), (Poll("acme", 1, gone=True), LONG_S)])
def test_a_poll_without_time_or_without_its_caller_reads_once(poll: Poll, wait_s: float) -> None:
    assert anyio.run(poll.until, 2, wait_s) == 1
    assert (poll.reads, poll.handed_over_at) == (1, [])
    assert not waiting._waiting


def test_a_poll_returns_what_it_read_last_when_its_time_is_over() -> None:
    poll = Poll("acme", *range(1, 10_000))
    assert anyio.run(poll.until, 0, 0.05) == poll.reads > 2
    assert not waiting._waiting


@pytest.mark.parametrize(("limit", "others"), [("WAITING_MAX", False), ("WAITING_MAX_OF_TENANT", True)])
def test_beside_too_many_polls_another_is_answered_at_once(
    limit: str, monkeypatch: pytest.MonkeyPatch, *, others: bool
) -> None:
    monkeypatch.setattr(waiting, limit, 2)

    async def run() -> None:
        async with anyio.create_task_group() as group:
            polls = [Poll("acme", 1) for _ in range(2)]
            for poll in polls:
                group.start_soon(poll.until, 2)
            for poll in polls:
                await poll.waits.wait()
            another, stranger = Poll("acme", 1, 2), Poll("globex", 1, 2)
            assert await another.until(2) == 1
            assert await stranger.until(2) == (2 if others else 1)
            group.cancel_scope.cancel()

    anyio.run(run)
    assert not waiting._waiting
