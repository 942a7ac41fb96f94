"""A session of the stack: start it, run a command or wait, and always stop it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from dubline.embedded.environment import inherited
from dubline.embedded.errors import EmbeddedError, Interrupted, PartFailed
from dubline.embedded.interrupts import Interrupts
from dubline.embedded.stack import POLL_S, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Variable with the id of this process. The service ends with the command, which is a child of this process; programs
#: that the command starts may go on with the same service.
ENDS_WITH_COMMAND: Final = "DUBLINE_ENDS_WITH_CHILD_OF"

_COMMAND_GRACE_S: Final = 5.0
_SIGNAL_EXIT: Final = 128
#: A failed part may have needed more disk than this: an idle stack takes some 80 MB.
_SPACE_BYTES: Final = 100_000_000


def run(command: Sequence[str], *, show: Callable[[str], None], stack: Stack | None = None) -> int:
    """Start the stack, run a command against it or wait for Ctrl-C, and stop it.

    Args:
        command: a program and its arguments, run with DUBLINE_URL and DUBLINE_API_KEY; empty: wait.
        show: prints a message to the terminal.
        stack: the stack to run; None: a new one.

    Returns:
        The exit code of the command; 128 + the signal's number after a signal; 0 after Ctrl-C during a wait.

    Raises:
        EmbeddedError: a part is not installed or failed, or the command does not exist.
    """
    if command and shutil.which(command[0]) is None:
        raise EmbeddedError(f"The command {command[0]!r} does not exist or is not executable. Nothing was started.")
    try:
        stack = stack or Stack(fork=True)
    except OSError as error:
        raise EmbeddedError(f"{error.strerror or error}. Set TMPDIR to a folder that can be written to.") from error
    with Interrupts() as interrupts:
        try:
            return _run(stack, command, interrupts, show)
        except Interrupted as stop:
            return 0 if stop.signum == signal.SIGINT and not command else _SIGNAL_EXIT + stop.signum
        finally:
            _stop(stack, show)


def _run(stack: Stack, command: Sequence[str], interrupts: Interrupts, show: Callable[[str], None]) -> int:
    started_s = time.monotonic()
    try:
        show("Starting Postgres, valkey, S3, the API and the workers ...")
        _start(stack, interrupts)
        show(f"Up after {time.monotonic() - started_s:.1f} s.")
        if command:
            return _command(stack, command, interrupts)
        show(_greeting(stack))
        return _wait(stack, interrupts, show)
    except PartFailed as failure:
        # A part that has no session of its own yet also receives Ctrl-C; that is not a failure.
        interrupts.check()
        # A part cannot write this into its log.
        if advice := _advice_on_space(stack):
            raise EmbeddedError(f"{failure}\n{advice}") from failure
        raise


def _start(stack: Stack, interrupts: Interrupts) -> None:
    try:
        stack.start(interrupts.check)
    except OSError as error:
        # Of a file of the stack; otherwise it would be taken for one of the terminal.
        place = f": {error.filename}" if error.filename else ""
        cause = f"The stack cannot be started: {error.strerror or error}{place}."
        raise EmbeddedError("\n".join(filter(None, (cause, _advice_on_space(stack))))) from error


def _advice_on_space(stack: Stack) -> str:
    """Say what to do if the disk of the stack is full; empty if it is not."""
    folder = stack.folder.parent
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes >= _SPACE_BYTES:
        return ""
    advice = f"The disk of {folder} has {free_bytes // 1_000_000} MB left. Free some, or set TMPDIR to a folder"
    return f"{advice} on another disk."


def _stop(stack: Stack, show: Callable[[str], None]) -> None:
    # The terminal may be closed, which must not prevent the stop.
    with suppress(OSError):
        show("Stopping ...")
    stack.stop()
    with suppress(OSError):
        show("Stopped; all processes have ended and the data is removed.")


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


def _wait(stack: Stack, interrupts: Interrupts, show: Callable[[str], None]) -> int:
    while True:
        interrupts.check()
        try:
            stack.check()
        except PartFailed as failure:
            show(str(failure))
            stack.forget(failure.name)
        time.sleep(POLL_S)


def _command(stack: Stack, command: Sequence[str], interrupts: Interrupts) -> int:
    # It stays in this process group, so that it can read from the terminal and receives Ctrl-C.
    environ = {
        **inherited(),
        "DUBLINE_URL": stack.url,
        "DUBLINE_API_KEY": stack.key,
        ENDS_WITH_COMMAND: str(os.getpid()),
    }
    try:
        process = subprocess.Popen(list(command), env=environ)
    except OSError as error:
        raise EmbeddedError(f"The command {command[0]!r} cannot be run: {error.strerror}.") from error
    stack.watch(process.pid, signal.SIGTERM)
    try:
        while (code := process.poll()) is None:
            interrupts.check()
            stack.check()
            time.sleep(POLL_S)
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
