"""Usage errors of the training commands, printed as one line instead of a stack trace."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dubline.models.weights import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator


class UsageError(ValueError):
    """The arguments or files do not fit together; the message explains the remedy."""


@contextmanager
def exit_on_usage_error() -> Iterator[None]:
    """Exit with the message of a usage error; other errors keep their stack trace."""
    try:
        yield
    except (UsageError, FileNotFoundError, ModuleNotFoundError, WeightsError) as error:
        sys.exit(str(error))
