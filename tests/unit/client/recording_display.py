"""A progress display for tests."""

from __future__ import annotations

from typing import Self


class RecordingDisplay:
    """A progress display that records its calls."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []
        self.finished: dict[str, str] = {}
        self.notices: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, name: str, state: str, percent: float, note: str = "") -> None:
        assert 0 <= percent <= 100, note
        if (name, state) not in self.shown:
            self.shown.append((name, state))

    def finish(self, name: str, state: str, note: str = "") -> None:
        assert name not in self.finished, note
        self.finished[name] = state

    def notice(self, text: str) -> None:
        self.notices.append(text)
