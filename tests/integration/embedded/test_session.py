from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from tests.integration.embedded.processes import eventually, living_in
from tests.integration.embedded.test_stack import Sketch, gone, server, task

from dubline.embedded.application import KEY
from dubline.embedded.errors import EmbeddedError, PartFailed
from dubline.embedded.session import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stack() -> Iterator[Sketch]:
    stack = Sketch(task(KEY, "echo the-key"), server("one"), server("two"))
    yield stack
    eventually(lambda: gone(stack))


@pytest.fixture
def said() -> list[str]:
    return []


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_the_command_is_told_where_the_service_is(stack: Sketch, said: list[str], tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    command = ["sh", "-c", f"echo $DUBLINE_URL $DUBLINE_API_KEY > {seen}"]
    assert run(command, say=said.append, stack=stack) == 0
    assert seen.read_text().split() == [stack.url, "the-key"]
    assert "nothing is left" in said[-1]


def test_the_command_reaches_loopback_past_a_proxy_and_knows_nothing_of_aws(
    stack: Sketch, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "stale")
    monkeypatch.setenv("no_proxy", "example.com")
    seen = tmp_path / "seen"
    assert run(["sh", "-c", f"echo $no_proxy $NO_PROXY $AWS_PROFILE > {seen}"], say=said.append, stack=stack) == 0
    assert seen.read_text().split() == ["example.com,127.0.0.1,localhost"] * 2


def test_the_exit_code_is_the_commands(stack: Sketch, said: list[str]) -> None:
    assert run(python("raise SystemExit(7)"), say=said.append, stack=stack) == 7


def test_a_command_ended_by_a_signal_is_told_as_shells_do(stack: Sketch, said: list[str]) -> None:
    assert run(python("import os; os.kill(os.getpid(), 9)"), say=said.append, stack=stack) == 137


def test_a_command_that_does_not_exist_is_a_sentence(stack: Sketch, said: list[str]) -> None:
    with pytest.raises(EmbeddedError, match="no command 'no-such-thing'"):
        run(["no-such-thing"], say=said.append, stack=stack)


def test_a_part_that_dies_ends_the_command(stack: Sketch, said: list[str]) -> None:
    def say(text: str) -> None:
        said.append(text)
        if text.startswith("Up"):
            os.kill(stack.children["two"].pid, signal.SIGKILL)

    with pytest.raises(PartFailed, match="two stopped"):
        run(python("import time; time.sleep(3600)"), say=say, stack=stack)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_too(signum: int, code: int, stack: Sketch, said: list[str]) -> None:
    script = f"import os, signal, time; os.kill({os.getpid()}, {int(signum)}); time.sleep(3600)"
    assert run(python(script), say=said.append, stack=stack) == code


def test_waiting_ends_well_at_ctrl_c_and_tells_of_parts_that_died(stack: Sketch, said: list[str]) -> None:
    def say(text: str) -> None:
        said.append(text)
        if "DUBLINE_API_KEY" in text:
            assert "the-key" in text
            assert stack.url in text
            os.kill(stack.children["two"].pid, signal.SIGKILL)
        if text.startswith("two stopped"):
            assert living_in(stack.folder)
            os.kill(os.getpid(), signal.SIGINT)

    assert run([], say=say, stack=stack) == 0
    assert [text for text in said if text.startswith("two stopped")]


def test_a_stop_before_it_is_up_leaves_nothing(stack: Sketch) -> None:
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        if text.startswith("Starting"):
            os.kill(os.getpid(), signal.SIGINT)

    assert run([], say=say, stack=stack) == 0
    assert not [text for text in said if text.startswith("Up")]


def test_a_terminal_that_is_gone_keeps_nothing_alive(stack: Sketch) -> None:
    def say(text: str) -> None:
        raise OSError(text)

    with pytest.raises(OSError, match="Starting"):
        run([], say=say, stack=stack)


def test_a_part_that_ctrl_c_reached_before_us_has_not_failed(said: list[str]) -> None:
    stack = Sketch(task(KEY, "kill -INT $PPID; exit 1"))
    assert run([], say=said.append, stack=stack) == 0
    eventually(lambda: gone(stack))
