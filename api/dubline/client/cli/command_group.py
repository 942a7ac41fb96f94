"""A group of commands whose refused options have sentences of Dubline, not of pydantic, by which typer reads them."""

from __future__ import annotations

from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from dubline.options.refusals import sentence_of


class CommandGroup(TyperGroup):
    """The commands of `dubline`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is named.

        Raises:
            BadParameter: a value of one of its options is refused.
        """
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            if isinstance(error.__cause__, ValidationError):
                error.message = sentence_of(error.__cause__.errors()[0])
            raise
