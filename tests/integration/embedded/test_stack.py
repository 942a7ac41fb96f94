from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.integration.embedded.processes import eventually, living_in

from dubline.embedded import stack as stack_module
from dubline.embedded.cleanup import Sweeper
from dubline.embedded.errors import Interrupted, PartFailed
from dubline.embedded.part import Part
from dubline.embedded.stack import INFRASTRUCTURE, Stack

FOREVER = "sleep 3600 & sleep 3600"


class Sketch(Stack):
    """A stack of shell scripts."""

    def __init__(self, *parts: Part) -> None:
        super().__init__()
        self.parts = parts

    def _plan(self, sweeper: Sweeper) -> tuple[Part, ...]:
        super()._plan(sweeper)
        return self.parts


def server(name: str, script: str = FOREVER, needs: str = "", *, ready: bool = True) -> Part:
    return Part(name=name, argv=("sh", "-c", script), needs=frozenset(needs.split()), is_ready=lambda: ready)


def task(name: str, script: str, needs: str = "") -> Part:
    return Part(name=name, argv=("sh", "-c", script), needs=frozenset(needs.split()))


def gone(stack: Stack) -> bool:
    return not stack.folder.exists() and not living_in(stack.folder)


def test_a_part_starts_when_its_needs_are_met() -> None:
    order = "echo $(cat ../seen 2>/dev/null) {} > seen"
    first, second = (task(name, order.format(name), needs) for name, needs in (("one", ""), ("two", "one")))
    with Sketch(second, server("three", needs="two"), first) as stack:
        assert list(stack.children) == ["one", "two", "three"]
    eventually(lambda: gone(stack))


def test_a_task_that_ended_well_gives_its_number_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    killed: list[int] = []
    forget, killpg = Sweeper.forget, os.killpg

    def note_forget(sweeper: Sweeper, target: int) -> None:
        told.append(-target)
        forget(sweeper, target)

    def note_killpg(group: int, signum: int) -> None:
        killed.append(group)
        killpg(group, signum)

    monkeypatch.setattr(Sweeper, "forget", note_forget)
    monkeypatch.setattr(os, "killpg", note_killpg)
    with Sketch(task("once", "echo done"), server("on", needs="once")) as stack:
        once, on = stack.children["once"], stack.children["on"]
        assert told == [once.pid]
        assert once.output() == "done\n"
    assert killed == [on.pid]
    assert told == [once.pid, on.pid]
    eventually(lambda: gone(stack))


def test_a_task_that_fails_is_named_with_the_end_of_its_log() -> None:
    stack = Sketch(server("good"), task("bad", "for i in $(seq 50); do echo line $i >&2; done; exit 3"))
    with pytest.raises(PartFailed, match="bad failed with exit code 3") as caught, stack:
        pass
    assert "line 50" in str(caught.value)
    assert "line 30\n" not in str(caught.value)
    eventually(lambda: gone(stack))


def test_a_server_that_stops_at_the_start_is_named() -> None:
    with (
        pytest.raises(PartFailed, match="bad stopped with exit code 4"),
        Sketch(server("bad", "exit 4", ready=False)),
    ):
        pass


def test_a_server_that_is_never_ready_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "READY_WITHIN_S", 0.1)
    with pytest.raises(PartFailed, match="slow was not ready"), Sketch(server("slow", ready=False)):
        pass


def test_a_server_that_stops_later_is_noticed() -> None:
    with Sketch(server("one"), server("two")) as stack:
        stack.check()
        os.kill(stack.children["two"].pid, signal.SIGKILL)

        def noticed() -> bool:
            try:
                stack.check()
            except PartFailed as failure:
                return failure.name == "two"
            return False

        eventually(noticed)
        stack.forget("two")
        stack.check()


def test_what_ignores_the_request_to_stop_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "STOP_WITHIN_S", 0.1)
    stubborn = "trap '' TERM; touch trapped; while :; do sleep 3600; done"
    with Sketch(server("stubborn", stubborn)) as stack:
        eventually((stack.folder / "trapped").exists)
    eventually(lambda: gone(stack))


def test_what_a_part_started_is_stopped_with_it() -> None:
    with Sketch(server("parent", f"({FOREVER}) & exec sleep 3600")) as stack:
        eventually(lambda: len(living_in(stack.folder)) >= 3)
    eventually(lambda: gone(stack))


def test_a_part_that_was_killed_starts_again_and_its_log_goes_on() -> None:
    with Sketch(server("one", "echo $$ >&2; exec sleep 3600"), server("two")) as stack:
        first, other = stack.children["one"], stack.children["two"]
        eventually(first.log.read_text)
        first.kill()
        with pytest.raises(PartFailed, match="one stopped with exit code -9"):
            stack.check()
        stack.restart("one")
        stack.check()
        again = stack.children["one"]
        eventually(lambda: again.log.read_text().split() == [str(first.pid), str(again.pid)])
        assert stack.children["two"] is other
    eventually(lambda: gone(stack))


def test_a_part_that_still_runs_is_asked_to_stop_before_it_starts_again() -> None:
    polite = "trap 'echo left; exit' TERM; echo came; while :; do sleep 0.02; done"
    with Sketch(server("polite", polite)) as stack:
        eventually(stack.children["polite"].output)
        stack.restart("polite")
        eventually(lambda: stack.children["polite"].output().split() == ["came", "left", "came"])
    eventually(lambda: gone(stack))


def test_a_part_that_does_not_come_back_is_named() -> None:
    with Sketch(server("once", "test -e seen && exit 5; touch seen; exec sleep 3600")) as stack:
        eventually((stack.folder / "seen").exists)
        child = stack.children["once"]
        child.part = replace(child.part, is_ready=lambda: False)
        with pytest.raises(PartFailed, match="once stopped with exit code 5"):
            stack.restart("once")
    eventually(lambda: gone(stack))


def test_parts_may_be_replaced_and_added_when_their_addresses_are_known() -> None:
    def arrange(parts: tuple[Part, ...]) -> list[Part]:
        echo = f"echo {stack.environ['DUBLINE_BUCKET_ENDPOINT_URL']} $DUBLINE_BUCKET_NAME"
        return [replace(parts[0], argv=("sh", "-c", echo), environ={"DUBLINE_BUCKET_NAME": "other"}), server("more")]

    stack = Stack(arrange=arrange)
    with stack:
        assert list(stack.children) == ["initdb", "more"]
        assert stack.children["initdb"].output().split() == [stack.environ["DUBLINE_BUCKET_ENDPOINT_URL"], "other"]
    eventually(lambda: gone(stack))


@pytest.mark.parametrize("moment", [1, 2, 5, 20])
def test_a_stop_while_it_starts_leaves_nothing(moment: int) -> None:
    checks = iter(range(1, moment + 1))

    def check() -> None:
        if next(checks, None) == moment:
            raise Interrupted(signal.SIGINT)

    stack = Stack()
    try:
        with pytest.raises(Interrupted):
            stack.start(check)
    finally:
        stack.stop()
    eventually(lambda: gone(stack))


def test_a_sigkill_of_whoever_runs_it_leaves_nothing() -> None:
    script = f"""
import sys
from dubline.embedded.stack import Stack
stack = Stack()
stack.start(only={set(INFRASTRUCTURE)!r})
print(stack.folder, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        folder = owner.stdout.readline().strip()
        probe = Stack()
        probe.folder = probe.folder.with_name(folder.rsplit("/", 1)[-1])
        assert probe.folder.is_dir()
        assert len(living_in(probe.folder)) >= 3
        owner.kill()
    eventually(lambda: gone(probe))
