from __future__ import annotations

from threading import Event
from typing import Any

import anyio
import pytest

from dubline.api import readiness
from dubline.api.readiness import Readiness
from dubline.orchestration.domain.errors import DatabaseUnavailableError


class Store:
    """A database that can be taken away."""

    def __init__(self) -> None:
        self.checks = 0
        self.lost = False

    def check(self) -> None:
        self.checks += 1
        if self.lost:
            raise DatabaseUnavailableError


def test_probes_of_a_moment_share_a_check_and_later_ones_make_another(monkeypatch: pytest.MonkeyPatch) -> None:
    store: Any = Store()

    async def run() -> None:
        ready = Readiness(store)
        for _ in range(3):
            await ready.check()
        store.lost = True
        await ready.check()
        assert store.checks == 1
        monkeypatch.setattr(readiness, "FRESH_S", -1.0)
        with pytest.raises(DatabaseUnavailableError):
            await ready.check()
        monkeypatch.setattr(readiness, "FRESH_S", 60.0)
        store.lost = False
        with pytest.raises(DatabaseUnavailableError):
            await ready.check()
        assert store.checks == 2

    anyio.run(run)


def test_a_database_that_does_not_respond_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "DEADLINE_S", 0.01)
    responds = Event()
    store: Any = Store()
    store.check = lambda: responds.wait(60)

    async def run() -> None:
        with pytest.raises(DatabaseUnavailableError, match="did not respond"):
            await Readiness(store).check()
        responds.set()

    anyio.run(run)
