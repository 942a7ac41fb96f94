"""What is wrong with what a user of the training commands asked for, said in a line instead of a stack trace."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dubline.models.weights import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator


class UsageError(ValueError):
    """What was asked for does not go together; the message says what to do."""


@contextmanager
def exit_on_usage_error() -> Iterator[None]:
    """End the process with the sentence of a complaint; errors of the code itself keep their trace."""
    try:
        yield
    except (UsageError, FileNotFoundError, ModuleNotFoundError, WeightsError) as error:
        sys.exit(str(error))
