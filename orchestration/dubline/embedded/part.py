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
    """A program of the stack.

    Attributes:
        name: unique in the stack; also names its log.
        argv: the program and its arguments.
        needs: names of the parts that must be ready before it starts.
        is_ready: whether a server takes work; None for a task, which is ready when it has ended with code 0.
        environ: variables on top of what every part gets.
        account: who runs it; None for the user who runs the stack.
        folder: where it runs; None for the folder of the stack.
        stop_signal: what asks it to stop.
        last: stops after the parts that are not, because those still talk to it while they stop.
    """

    name: str
    argv: tuple[str, ...]
    needs: frozenset[str] = frozenset()
    is_ready: Callable[[], bool] | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    folder: Path | None = None
    stop_signal: int = signal.SIGTERM
    last: bool = False
