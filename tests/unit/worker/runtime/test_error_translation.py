from __future__ import annotations

import errno

import pytest

from dubline.orchestration.domain.errors import MediaTruncatedError, ScratchFullError
from dubline.worker.executors import error_translation


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_found_below_what_was_made_of_it(number: int) -> None:
    raised = MediaTruncatedError()
    raised.__cause__ = OSError(number, "no room in /tmp/secret")
    named = error_translation.translate(raised)
    assert isinstance(named, ScratchFullError)
    assert "secret" not in named.detail


def test_other_errors_are_what_they_are() -> None:
    missing = FileNotFoundError(errno.ENOENT, "gone")
    assert error_translation.translate(missing) is missing


def test_errors_that_name_each_other_end_too() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert error_translation.translate(first) is first
