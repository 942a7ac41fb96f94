from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from tests.integration.embedded.processes import eventually, running_in

from dubline.embedded import stack as stack_module
from dubline.embedded.cleanup import CleanupProcess
from dubline.embedded.errors import Interrupted, PartFailed
from dubline.embedded.part import Part
from dubline.embedded.stack import INFRASTRUCTURE, Stack

FOREVER = "sleep 3600 & sleep 3600"


class ShellStack(Stack):
    """A stack of shell scripts."""

    def __init__(self, *parts: Part, fork: bool = False) -> None:
        super().__init__(fork=fork)
        self.parts = parts

    def _plan(self, cleanup: CleanupProcess) -> tuple[Part, ...]:
        super()._plan(cleanup)
        return self.parts


def server(name: str, script: str = FOREVER, needs: str = "", *, ready: bool = True) -> Part:
    return Part(name=name, argv=("sh", "-c", script), needs=frozenset(needs.split()), is_ready=lambda: ready)


def task(name: str, script: str, needs: str = "") -> Part:
    return Part(name=name, argv=("sh", "-c", script), needs=frozenset(needs.split()))


def is_removed(stack: Stack) -> bool:
    return not stack.folder.exists() and not running_in(stack.folder)


def test_a_part_starts_when_its_dependencies_are_ready() -> None:
    order = "echo $(cat ../seen 2>/dev/null) {} > seen"
    first, second = (task(name, order.format(name), needs) for name, needs in (("one", ""), ("two", "one")))
    with ShellStack(second, server("three", needs="two"), first) as stack:
        assert list(stack.children) == ["one", "two", "three"]
    eventually(lambda: is_removed(stack))


def test_the_process_id_of_a_finished_task_is_released(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[int] = []
    killed: list[int] = []
    forget, killpg = CleanupProcess.forget, os.killpg

    def record_forget(cleanup: CleanupProcess, target: int) -> None:
        forgotten.append(-target)
        forget(cleanup, target)

    def record_killpg(group: int, signum: int) -> None:
        killed.append(group)
        killpg(group, signum)

    monkeypatch.setattr(CleanupProcess, "forget", record_forget)
    monkeypatch.setattr(os, "killpg", record_killpg)
    with ShellStack(task("once", "echo done"), server("on", needs="once")) as stack:
        once, on = stack.children["once"], stack.children["on"]
        assert forgotten == [once.pid]
        assert once.output() == "done\n"
    assert killed == [on.pid]
    assert forgotten == [once.pid, on.pid]
    eventually(lambda: is_removed(stack))


def test_a_failed_task_is_reported_with_the_end_of_its_log() -> None:
    stack = ShellStack(server("good"), task("bad", "for i in $(seq 50); do echo line $i >&2; done; exit 3"))
    with pytest.raises(PartFailed, match="bad failed with exit code 3") as caught, stack:
        pass
    assert "line 50" in str(caught.value)
    assert "line 30\n" not in str(caught.value)
    eventually(lambda: is_removed(stack))


def test_a_server_that_stops_during_the_start_is_reported() -> None:
    with (
        pytest.raises(PartFailed, match="bad stopped with exit code 4"),
        ShellStack(server("bad", "exit 4", ready=False)),
    ):
        pass


def test_a_server_that_is_not_ready_in_time_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "READY_WITHIN_S", 0.1)
    with pytest.raises(PartFailed, match="slow was not ready"), ShellStack(server("slow", ready=False)):
        pass


def test_a_server_that_stops_later_is_reported() -> None:
    with ShellStack(server("one"), server("two")) as stack:
        stack.check()
        os.kill(stack.children["two"].pid, signal.SIGKILL)

        def reported() -> bool:
            try:
                stack.check()
            except PartFailed as failure:
                return failure.name == "two"
            return False

        eventually(reported)
        stack.forget("two")
        stack.check()


def test_a_part_that_ignores_its_stop_signal_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "STOP_WITHIN_S", 0.1)
    stubborn = "trap '' TERM; touch trapped; while :; do sleep 3600; done"
    with ShellStack(server("stubborn", stubborn)) as stack:
        eventually((stack.folder / "trapped").exists)
    eventually(lambda: is_removed(stack))


def test_the_children_of_a_part_are_stopped_with_it() -> None:
    with ShellStack(server("parent", f"({FOREVER}) & exec sleep 3600")) as stack:
        eventually(lambda: len(running_in(stack.folder)) >= 3)
    eventually(lambda: is_removed(stack))


def test_a_killed_part_is_restarted_and_its_log_appended() -> None:
    with ShellStack(server("one", "echo $$ >&2; exec sleep 3600"), server("two")) as stack:
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
    eventually(lambda: is_removed(stack))


def test_a_running_part_is_stopped_gracefully_before_its_restart() -> None:
    graceful = "trap 'echo stopped; exit' TERM; echo started; while :; do sleep 0.02; done"
    with ShellStack(server("graceful", graceful)) as stack:
        eventually(stack.children["graceful"].output)
        stack.restart("graceful")
        eventually(lambda: stack.children["graceful"].output().split() == ["started", "stopped", "started"])
    eventually(lambda: is_removed(stack))


def test_a_part_that_fails_to_restart_is_reported() -> None:
    with ShellStack(server("once", "test -e seen && exit 5; touch seen; exec sleep 3600")) as stack:
        eventually((stack.folder / "seen").exists)
        child = stack.children["once"]
        child.part = replace(child.part, is_ready=lambda: False)
        with pytest.raises(PartFailed, match="once stopped with exit code 5"):
            stack.restart("once")
    eventually(lambda: is_removed(stack))


def test_parts_can_be_replaced_and_added() -> None:
    def arrange(parts: tuple[Part, ...]) -> list[Part]:
        echo = f"echo {stack.environ['DUBLINE_BUCKET_ENDPOINT_URL']} $DUBLINE_BUCKET_NAME"
        return [replace(parts[0], argv=("sh", "-c", echo), environ={"DUBLINE_BUCKET_NAME": "other"}), server("more")]

    stack = Stack(arrange=arrange)
    with stack:
        assert list(stack.children) == ["initdb", "more"]
        assert stack.children["initdb"].output().split() == [stack.environ["DUBLINE_BUCKET_ENDPOINT_URL"], "other"]
    eventually(lambda: is_removed(stack))


@pytest.mark.parametrize("moment", [1, 2, 5, 20])
def test_an_interrupt_during_the_start_leaves_nothing(moment: int) -> None:
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
    eventually(lambda: is_removed(stack))


def test_sigkill_of_the_parent_leaves_nothing() -> None:
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
        assert len(running_in(probe.folder)) >= 3
        owner.kill()
    eventually(lambda: is_removed(probe))
