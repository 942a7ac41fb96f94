"""One life of the stack: up, then a command or a wait, then down, whatever happens."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from dubline.embedded.environment import inherited
from dubline.embedded.errors import EmbeddedError, Interrupted, PartFailed
from dubline.embedded.interrupts import Interrupts
from dubline.embedded.stack import PAUSE_S, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_COMMAND_GRACE_S: Final = 5.0
_SIGNAL_EXIT: Final = 128


def run(command: Sequence[str], *, say: Callable[[str], None], stack: Stack | None = None) -> int:
    """Start the stack, run a command against it or wait for Ctrl-C, and stop it.

    Args:
        command: a program and its arguments, which gets DUBLINE_URL and DUBLINE_API_KEY; empty to wait.
        say: shows one message to the person at the terminal.
        stack: the stack to run; a new one if None.

    Returns:
        The exit code of the command; 128 + the signal's number after a signal, except that ending a wait by
        Ctrl-C is no failure: 0.

    Raises:
        EmbeddedError: a part is not installed or failed, or the command does not exist.
    """
    stack = stack or Stack()
    with Interrupts() as interrupts:
        try:
            return _live(stack, command, interrupts, say)
        except Interrupted as stop:
            return 0 if stop.signum == signal.SIGINT and not command else _SIGNAL_EXIT + stop.signum
        finally:
            _down(stack, say)


def _live(stack: Stack, command: Sequence[str], interrupts: Interrupts, say: Callable[[str], None]) -> int:
    began = time.monotonic()
    try:
        say("Starting Postgres, valkey, S3, the API and the workers ...")
        stack.start(interrupts.check)
        say(f"Up after {time.monotonic() - began:.1f} s.")
        if command:
            return _command(stack, command, interrupts)
        say(_greeting(stack))
        return _wait(stack, interrupts, say)
    except PartFailed:
        # Ctrl-C reaches a part that has not yet got its own session: then its end is no failure.
        interrupts.check()
        raise


def _down(stack: Stack, say: Callable[[str], None]) -> None:
    # The terminal may be gone already, which must not keep anything alive.
    with suppress(OSError):
        say("Stopping ...")
    stack.stop()
    with suppress(OSError):
        say("Stopped; nothing is left running and the data is gone.")


def _greeting(stack: Stack) -> str:
    return "\n".join(
        (
            "",
            f"  export DUBLINE_URL={stack.url}",
            f"  export DUBLINE_API_KEY={stack.key}",
            "",
            f"  API docs  {stack.url}/docs",
            f"  logs      {stack.logs}",
            "",
            "In another terminal: dubline submit --portrait photo.jpg --speech hello.mp3",
            "Ctrl-C stops everything.",
        )
    )


def _wait(stack: Stack, interrupts: Interrupts, say: Callable[[str], None]) -> int:
    while True:
        interrupts.check()
        try:
            stack.check()
        except PartFailed as failure:
            say(str(failure))
            stack.forget(failure.name)
        time.sleep(PAUSE_S)


def _command(stack: Stack, command: Sequence[str], interrupts: Interrupts) -> int:
    if shutil.which(command[0]) is None:
        raise EmbeddedError(f"There is no command {command[0]!r}.")
    # It stays in our process group, so that it can read from the terminal and gets the terminal's Ctrl-C.
    process = subprocess.Popen(
        list(command), env={**inherited(), "DUBLINE_URL": stack.url, "DUBLINE_API_KEY": stack.key}
    )
    stack.watch(process.pid, signal.SIGTERM)
    try:
        while (code := process.poll()) is None:
            interrupts.check()
            stack.check()
            time.sleep(PAUSE_S)
    finally:
        _end(process)
        stack.unwatch(process.pid)
    return code if code >= 0 else _SIGNAL_EXIT - code


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_COMMAND_GRACE_S)
        process.kill()
    process.wait()
