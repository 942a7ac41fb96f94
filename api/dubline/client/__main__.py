"""Entry point of the `dubline` command; errors are printed as one sentence without a traceback."""

from __future__ import annotations

import io
import os
import signal
import sys
from typing import Final

from dubline.client.errors import ClientError

#: Exit code of a command that cannot be run, as with wrong options.
USAGE_ERROR: Final = 2


def main() -> None:
    """Run the command line and exit with its exit code."""
    _print_any_script()
    try:
        # Imported here, because Ctrl-C must not print a traceback while the packages are loaded.
        from dubline.client.cli.commands import app  # noqa: PLC0415

        app()
    except ClientError as error:
        sys.stderr.write(f"dubline: {error}\n")
        sys.exit(USAGE_ERROR)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except OSError as error:
        # Of standard output. Errors of other files name the file and are ClientError.
        _discard_output()
        sys.stderr.write(f"dubline: Cannot write the output: {error.strerror or error}.\n")
        sys.exit(USAGE_ERROR)


def _print_any_script() -> None:
    # A console with an old code page cannot show every id; it shows an escape for what it lacks.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    # The interpreter writes the rest of the output as it ends, which would fail again.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    main()
