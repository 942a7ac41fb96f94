from __future__ import annotations

import pytest

from dubline.worker.runtime.shutdown import Drain, StoppedError


def test_work_goes_on_until_somebody_asks() -> None:
    drain = Drain()
    drain.check()
    drain.check_between()
    assert not drain.asked


def test_the_first_stop_leaves_the_piece_at_hand_alone() -> None:
    drain = Drain()
    drain.ask()
    assert drain.asked
    drain.check()
    with pytest.raises(StoppedError):
        drain.check_between()


def test_a_hurried_stop_ends_the_piece_too() -> None:
    drain = Drain()
    drain.hurry()
    assert drain.asked
    for check in (drain.check, drain.check_between):
        with pytest.raises(StoppedError):
            check()
