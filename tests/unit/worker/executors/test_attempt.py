from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from dubline.orchestration.domain.errors import (
    DatabaseUnavailableError,
    DeviceFailedError,
    LeaseLostError,
    ScratchFullError,
)
from dubline.worker.executors.attempt import AttemptExecutor
from dubline.worker.runtime.heartbeat import Heartbeat
from dubline.worker.runtime.liveness import LivenessFile
from dubline.worker.runtime.shutdown import Shutdown, StoppedError
from dubline.worker.settings import LeaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def executor(tmp_path: Path) -> AttemptExecutor:
    unused: Any = None
    return AttemptExecutor(
        store=unused,
        objects=unused,
        leases=LeaseSettings.model_validate({"duration_s": 0.02, "heartbeat_s": 0.01}),
        folder=tmp_path,
        worker="worker",
        shutdown=Shutdown(),
        liveness=LivenessFile(tmp_path / "alive"),
        health=unused,
    )


def failing(error: Exception) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


def outcome(executor: AttemptExecutor, work: Callable[[Path], None]) -> list[str]:
    """Run one attempt; return the calls of its callbacks."""
    calls: list[str] = []
    executor.attempt(
        work, release=lambda: calls.append("release"), settle=lambda error: calls.append(type(error).__name__)
    )
    return calls


@pytest.mark.parametrize(
    ("error", "calls"),
    [
        (LeaseLostError(), []),
        (StoppedError(), ["release"]),
        (KeyError("a defect"), ["KeyError"]),
        (OSError(errno.ENOSPC, "full"), [ScratchFullError.__name__]),
    ],
)
def test_an_error_ends_the_attempt_in_its_way(executor: AttemptExecutor, error: Exception, calls: list[str]) -> None:
    assert outcome(executor, failing(error)) == calls
    assert list(executor.folder.iterdir()) == []


def test_a_successful_attempt_calls_nothing(executor: AttemptExecutor) -> None:
    assert outcome(executor, lambda folder: (folder / "video.mp4").touch()) == []
    assert list(executor.folder.iterdir()) == []


def test_a_device_failure_is_settled_and_raised(executor: AttemptExecutor) -> None:
    settled: list[Exception] = []
    with pytest.raises(DeviceFailedError):
        executor.attempt(failing(DeviceFailedError()), release=lambda: None, settle=settled.append)
    assert len(settled) == 1


def test_an_outcome_that_cannot_be_written_is_logged(executor: AttemptExecutor) -> None:
    with capture_logs() as events:
        executor.record(failing(DatabaseUnavailableError()), "attempt_settled")
        executor.record(lambda: None, "attempt_settled", code="internal")
    assert [event["event"] for event in events] == ["outcome_not_recorded", "attempt_settled"]


def test_a_check_touches_the_liveness_file_and_raises_on_a_stop(executor: AttemptExecutor) -> None:
    heartbeat = Heartbeat(lambda _: None, executor.leases)
    executor.check(heartbeat)
    assert (executor.folder / "alive").exists()
    executor.shutdown.request()
    executor.check(heartbeat)
    executor.shutdown.force()
    with pytest.raises(StoppedError):
        executor.check(heartbeat)
