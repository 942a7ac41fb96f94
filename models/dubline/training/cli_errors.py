"""Usage errors of the training commands, printed as one line instead of a stack trace."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class UsageError(ValueError):
    """The arguments or files do not fit together; the message explains the remedy."""


@contextmanager
def exit_on_usage_error() -> Iterator[None]:
    """Exit with the message of a usage error; other errors keep their stack trace."""
    try:
        yield
    except (UsageError, FileNotFoundError, ModuleNotFoundError) as error:
        sys.exit(str(error))
    except Exception as error:
        from dubline.models.weights import WeightsError  # noqa: PLC0415 - loads torch, which not every command needs

        if isinstance(error, WeightsError):
            sys.exit(str(error))
        raise
