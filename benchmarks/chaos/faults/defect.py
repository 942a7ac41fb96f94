"""Defects of a light worker: the injector writes the name of one into a file, and the worker's jobs then fail."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from dubline.orchestration.domain.errors import DeviceFailedError

if TYPE_CHECKING:
    from pathlib import Path

#: Environment variable of a light worker with the path of its file.
DEFECT_FILE: Final = "DUBLINE_CHAOS_DEFECT_FILE"


class Defect(StrEnum):
    """What is wrong with a worker, named as its fault in the history."""

    ALWAYS_FAILING_DEVICE = "always_failing_device"
    FAILS_EVERY_SECOND_JOB = "fails_every_second_job"


def fail(file: Path, number: int) -> None:
    """Fail as the worker's defect demands.

    Args:
        file: names the defect; without it, or if it is empty, no job fails.
        number: of the job among those of this process.

    Raises:
        DeviceFailedError: the device always fails.
        RuntimeError: the worker fails every second job, and this is one.
    """
    defect = file.read_text(encoding="utf-8") if file.exists() else ""
    if defect == Defect.ALWAYS_FAILING_DEVICE:
        raise DeviceFailedError
    if defect == Defect.FAILS_EVERY_SECOND_JOB and number % 2:
        raise RuntimeError(defect)
