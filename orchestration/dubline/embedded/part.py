"""The description of one part of the stack: its command, dependencies and readiness."""

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
    """Unique name, also of its log file."""
    argv: tuple[str, ...]
    """The program and its arguments."""
    needs: frozenset[str] = frozenset()
    """Names of the parts that must be ready before it is started."""
    is_ready: Callable[[], bool] | None = None
    """Readiness check of a server; None for a task, which is ready when it has ended with code 0."""
    environ: Mapping[str, str] = field(default_factory=dict)
    """Additional environment variables."""
    account: Account | None = None
    """User of the process; None: the current user."""
    folder: Path | None = None
    """Working directory; None: the folder of the stack."""
    stop_signal: int = signal.SIGTERM
    """Signal that stops it gracefully."""
    forked: bool = False
    """Whether it may be a fork of a process that has imported its module: `argv` is the interpreter, "-m", a module."""
    last: bool = False
    """Stopped after all other parts, because these use it until they have stopped."""
