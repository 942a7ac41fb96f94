"""Entry point of the `dubline` command; errors are printed as one sentence without a traceback."""

from __future__ import annotations

import io
import sys
from typing import Final

import typer

from dubline.client.cli.commands import app
from dubline.client.errors import ClientError

#: Exit code of a command that cannot be run, as with wrong options.
USAGE_ERROR: Final = 2


def main() -> None:
    """Run the command line and exit with its exit code."""
    _print_any_script()
    try:
        app()
    except ClientError as error:
        typer.echo(f"dubline: {error}", err=True)
        sys.exit(USAGE_ERROR)


def _print_any_script() -> None:
    # A console with an old code page cannot show every id; it shows an escape for what it lacks.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
