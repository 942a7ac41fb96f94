"""Names what a raw exception of an attempt means, where it is no defect of ours."""

from __future__ import annotations

import errno
from typing import Final

from dubline.orchestration.domain.errors import DublineError, ScratchFullError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def translate(error: Exception) -> Exception:
    """The error of our tree that an exception stands for; itself where there is none.

    Args:
        error: what an attempt raised; what it was raised from counts too.
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        if isinstance(cause, OSError) and cause.errno in FULL:
            full: DublineError = ScratchFullError()
            return full
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    return error
