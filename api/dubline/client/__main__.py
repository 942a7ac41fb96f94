"""Entry point of the `dubline` command; errors are printed as one sentence without a traceback."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from dubline.client.errors import ClientError
from dubline.client.exit_codes import INTERRUPTED, UNREAD, USAGE_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Run the command line and exit with its exit code."""
    for stream in _text_streams():
        # A console with an old code page cannot show every id; it shows an escape for what it lacks.
        stream.reconfigure(errors="backslashreplace")
    try:
        code = _run()
        for stream in _text_streams():
            # The interpreter would report in its own words what it cannot write at its end.
            stream.flush()
    except BrokenPipeError:
        code = UNREAD
    except OSError as error:
        # Of standard output. Errors of other files name the file and are ClientError.
        code = USAGE_ERROR
        with suppress(OSError):
            _say(f"Cannot write the output: {error.strerror or error}.")
    _discard_unwritten()
    sys.exit(code)


def _run() -> str | int | None:
    """Run the command line and return its exit code."""
    try:
        # Imported here, because Ctrl-C must not print a traceback while the packages are loaded.
        from dubline.client.cli.commands import app  # noqa: PLC0415

        app()
    except SystemExit as end:
        # typer ends the process with 1 if the reader of its output has closed it.
        if isinstance(end.__context__, BrokenPipeError):
            raise end.__context__ from None
        return end.code
    except ClientError as error:
        _say(str(error))
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _say(text: str) -> None:
    # There is no standard error if it was closed before the start.
    if sys.stderr is not None:
        sys.stderr.write(f"dubline: {text}\n")


def _text_streams() -> Iterator[io.TextIOWrapper]:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            yield stream


def _discard_unwritten() -> None:
    """Discard what cannot be written: the interpreter would try it again."""
    for stream in _text_streams():
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


if __name__ == "__main__":
    main()
