"""How the training commands end: with one line instead of a stack trace, or quietly if their output is not read."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dubline.options.output import exit_if_unread

if TYPE_CHECKING:
    from collections.abc import Iterator


class UsageError(ValueError):
    """The arguments or files do not fit together; the message explains the remedy."""


@contextmanager
def exit_on_usage_error() -> Iterator[None]:
    """Exit with the message of a usage error, or quietly if the output is not read; other errors keep their trace."""
    with exit_if_unread():
        try:
            yield
        except (UsageError, FileNotFoundError, ModuleNotFoundError) as error:
            sys.exit(str(error))
        except Exception as error:
            from dubline.models.weights import WeightsError  # noqa: PLC0415 - loads torch, which not every command needs

            if isinstance(error, WeightsError):
                sys.exit(str(error))
            raise
