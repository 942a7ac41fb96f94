from __future__ import annotations

import pytest

from dubline.worker.runtime.shutdown import Shutdown, StoppedError


def test_work_goes_on_until_somebody_asks() -> None:
    shutdown = Shutdown()
    shutdown.raise_if_forced()
    shutdown.raise_if_requested()
    assert not shutdown.requested


def test_the_first_stop_leaves_the_piece_at_hand_alone() -> None:
    shutdown = Shutdown()
    shutdown.request()
    assert shutdown.requested
    shutdown.raise_if_forced()
    with pytest.raises(StoppedError):
        shutdown.raise_if_requested()


def test_a_hurried_stop_ends_the_piece_too() -> None:
    shutdown = Shutdown()
    shutdown.force()
    assert shutdown.requested
    for check in (shutdown.raise_if_forced, shutdown.raise_if_requested):
        with pytest.raises(StoppedError):
            check()
