import os
import signal

from dubline.worker.readiness import Readiness


def test_a_child_that_gives_up_is_heard_by_its_parent() -> None:
    readiness = Readiness()
    assert not readiness.given_up
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    try:
        child = os.fork()
        if child == 0:
            readiness.give_up()
            os._exit(0)
        os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert readiness.given_up
    assert received == [signal.SIGTERM]


def test_an_orphan_stops_nobody() -> None:
    readiness = Readiness()
    # Whose parent this process is not: the signal would end the test run.
    readiness.give_up()
    assert readiness.given_up
