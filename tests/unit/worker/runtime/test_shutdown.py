from __future__ import annotations

import pytest

from dubline.worker.runtime.shutdown import Shutdown, StoppedError


def test_work_continues_without_a_request() -> None:
    shutdown = Shutdown()
    shutdown.raise_if_forced()
    shutdown.raise_if_requested()
    assert not shutdown.requested


def test_a_request_lets_the_current_unit_of_work_finish() -> None:
    shutdown = Shutdown()
    shutdown.request()
    assert shutdown.requested
    shutdown.raise_if_forced()
    with pytest.raises(StoppedError):
        shutdown.raise_if_requested()


def test_a_forced_stop_ends_the_current_unit_of_work() -> None:
    shutdown = Shutdown()
    shutdown.force()
    assert shutdown.requested
    for check in (shutdown.raise_if_forced, shutdown.raise_if_requested):
        with pytest.raises(StoppedError):
            check()
