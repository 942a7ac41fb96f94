"""Where the `dubline` command starts: runs it, and says what went wrong in a sentence, no traceback."""

from __future__ import annotations

import sys
from typing import Final

import typer

from dubline.client.cli.commands import app
from dubline.client.errors import ClientError

UNUSABLE: Final = 2


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except ClientError as error:
        typer.echo(f"dubline: {error}", err=True)
        sys.exit(UNUSABLE)


if __name__ == "__main__":
    main()
