from __future__ import annotations

import errno

import pytest

from dubline.orchestration.domain.errors import MediaTruncatedError, ScratchFullError
from dubline.worker.executors import error_translation


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_found_in_the_chain_of_causes(number: int) -> None:
    raised = MediaTruncatedError()
    raised.__cause__ = OSError(number, "no room in /tmp/secret")
    translated = error_translation.translate(raised)
    assert isinstance(translated, ScratchFullError)
    assert "secret" not in translated.detail
    assert translated.__cause__ is raised.__cause__


def test_other_errors_are_not_translated() -> None:
    missing = FileNotFoundError(errno.ENOENT, "gone")
    assert error_translation.translate(missing) is missing


def test_a_cycle_of_causes_ends() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert error_translation.translate(first) is first
