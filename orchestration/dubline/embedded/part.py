"""One part of the stack, described before it runs: what to start, after whom, how to see it is ready."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from dubline.embedded.servers.account import Account


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A program of the stack."""

    name: str
    """Unique in the stack; also names its log."""
    argv: tuple[str, ...]
    """The program and its arguments."""
    needs: frozenset[str] = frozenset()
    """Names of the parts that must be ready before it starts."""
    is_ready: Callable[[], bool] | None = None
    """Whether a server takes work; None for a task, which is ready when it has ended with code 0."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of what every part gets."""
    account: Account | None = None
    """Who runs it; None for the user who runs the stack."""
    folder: Path | None = None
    """Where it runs; None for the folder of the stack."""
    stop_signal: int = signal.SIGTERM
    """What asks it to stop."""
    last: bool = False
    """Stops after the parts that are not, because those still talk to it while they stop."""
