"""The command `dubline up`."""

from __future__ import annotations

import shlex
import shutil
from typing import Annotated

import typer

from dubline.client.errors import ClientError


def up(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(help="Command to run against the stack; default: wait for Ctrl-C."),
    ] = None,
) -> None:
    """Run the whole service, including its servers, on this machine until the command ends or Ctrl-C."""
    words = command or []
    _check(words, context.parent.command if context.parent else None)
    # Imported here, because the other commands must work without the embedded servers.
    from dubline.embedded import EmbeddedError, run  # noqa: PLC0415

    try:
        code = run(words, show=typer.echo)
    except EmbeddedError as error:
        raise ClientError(str(error)) from error
    raise typer.Exit(code)


def _check(words: list[str], group: object) -> None:
    """Refuse options, which `up` does not have, and commands of `dubline` without its name."""
    first = words[0] if words else ""
    if first.startswith("-"):
        raise ClientError(f"`dubline up` has no option {first}. Write only the command to run: dubline up -- COMMAND.")
    if first in getattr(group, "commands", ()) and shutil.which(first) is None:
        right = shlex.join(["dubline", "up", "--", "dubline", *words])
        raise ClientError(f"There is no program {first}. For the command of dubline write: {right}")
