"""Translation of raw exceptions of an attempt that are not defects: a full disk."""

from __future__ import annotations

import errno
from typing import Final

from dubline.orchestration.domain.errors import DublineError, ScratchFullError

DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def translate(error: Exception) -> Exception:
    """Translate an exception to the service's error for it; return others unchanged.

    Args:
        error: raised by an attempt; its chain of causes and contexts is searched too.
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, OSError) and cause.errno in DISK_FULL:
            full: DublineError = ScratchFullError()
            full.__cause__ = cause
            return full
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return error
