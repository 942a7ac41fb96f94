"""Progress displays: bars on a terminal; elsewhere a line for each change of state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from dubline.client.exit_codes import UNREAD

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID

#: With more rows, only running ones have a bar, so that the bars fit on a screen.
_MANY: Final = 24
_QUEUED: Final = "queued"


class ProgressDisplay(Protocol):
    """Shows the progress of each row."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, name: str, state: str, percent: float, note: str = "") -> None:
        """Show the state of a row; percent in [0, 100]."""

    def finish(self, name: str, state: str, note: str = "") -> None:
        """Show the final state of a row."""

    def notice(self, text: str) -> None:
        """Show a sentence about the whole run."""


class OutputConsole(Console):
    """Standard output. If its reader has closed it, each write ends the command, in whichever thread it is."""

    def on_broken_pipe(self) -> None:
        """End the command. That of rich would discard what follows, so that the command would go on unseen."""
        raise SystemExit(UNREAD)


def progress_display(console: Console, rows: int) -> ProgressDisplay:
    """Create the display for a console and a number of rows."""
    return ProgressBars(console, rows) if console.is_terminal else ProgressLines(console)


class ProgressBars:
    """A bar for each row, and one for all of them."""

    def __init__(self, console: Console, rows: int) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            console=console,
        )
        self._few = rows <= _MANY
        self._bars: dict[str, TaskID] = {}
        self._all = self._progress.add_task("all", total=rows, state="", visible=rows > 1)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, name: str, state: str, percent: float, note: str = "") -> None:
        """Update the bar of a row."""
        if name not in self._bars:
            if state == _QUEUED and not self._few:
                return
            self._bars[name] = self._progress.add_task(name, total=100, state="")
        self._progress.update(self._bars[name], completed=percent, state=note or state)

    def finish(self, name: str, state: str, note: str = "") -> None:
        """Complete the bar of a row, and remove it if there are many rows."""
        self.show(name, state, 100 if state == "done" else 0, f"{state} {note}".strip())
        self._progress.advance(self._all)
        if name in self._bars:
            bar = self._bars[name]
            self._progress.stop_task(bar)
            if not self._few:
                self._progress.remove_task(self._bars.pop(name))

    def notice(self, text: str) -> None:
        """Write a line above the bars."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


class ProgressLines:
    """A line for each change of a row's state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._states: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, name: str, state: str, percent: float, note: str = "") -> None:  # noqa: ARG002
        """Write a line if the state has changed."""
        if self._states.get(name) != state:
            self._states[name] = state
            self._write(f"{name}: {state}")

    def finish(self, name: str, state: str, note: str = "") -> None:
        """Write the final state."""
        self._write(f"{name}: {state} {note}".rstrip())

    def notice(self, text: str) -> None:
        """Write a line."""
        self._write(text)

    def _write(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
