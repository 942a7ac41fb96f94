from __future__ import annotations

import errno
import os
import signal
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tests.integration.embedded.processes import eventually, running_in
from tests.integration.embedded.test_stack import ShellStack, is_removed, server, task

from dubline.client.cli.connection import ENDS_WITH_COMMAND
from dubline.embedded.application import PREPARE
from dubline.embedded.errors import EmbeddedError, PartFailed
from dubline.embedded.session import run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def stack() -> Iterator[ShellStack]:
    stack = ShellStack(task(PREPARE, "echo the-key"), server("one"), server("two"))
    yield stack
    eventually(lambda: is_removed(stack))


@pytest.fixture
def messages() -> list[str]:
    return []


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_the_command_gets_the_url_and_the_key(stack: ShellStack, messages: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["sh", "-c", f"echo $DUBLINE_URL $DUBLINE_API_KEY ${ENDS_WITH_COMMAND} > {out}"]
    assert run(command, show=messages.append, stack=stack) == 0
    assert out.read_text().split() == [stack.url, "the-key", str(os.getpid())]
    assert "all processes have ended" in messages[-1]


def test_the_command_has_no_proxy_for_loopback_and_no_aws_variables(
    stack: ShellStack, messages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "stale")
    monkeypatch.setenv("no_proxy", "example.com")
    out = tmp_path / "out"
    assert run(["sh", "-c", f"echo $no_proxy $NO_PROXY $AWS_PROFILE > {out}"], show=messages.append, stack=stack) == 0
    assert out.read_text().split() == ["example.com,127.0.0.1,localhost"] * 2


def test_the_exit_code_is_that_of_the_command(stack: ShellStack, messages: list[str]) -> None:
    assert run(python("raise SystemExit(7)"), show=messages.append, stack=stack) == 7


def test_a_command_killed_by_a_signal_has_the_exit_code_of_shells(stack: ShellStack, messages: list[str]) -> None:
    assert run(python("import os; os.kill(os.getpid(), 9)"), show=messages.append, stack=stack) == 137


def test_a_missing_command_is_reported_before_anything_is_started(messages: list[str]) -> None:
    with pytest.raises(EmbeddedError, match="command 'no-such-thing' does not exist"):
        run(["no-such-thing"], show=messages.append)
    assert messages == []


def test_a_command_in_no_known_form_is_reported(stack: ShellStack, messages: list[str], tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("no interpreter is named")
    script.chmod(0o755)
    with pytest.raises(EmbeddedError, match=r"script' cannot be run: Exec format error\."):
        run([str(script)], show=messages.append, stack=stack)
    assert "all processes have ended" in messages[-1]


@pytest.mark.parametrize(("free_bytes", "advice"), [(3_000_000, r"\n.* has 3 MB left\. Free some"), (10**9, "")])
def test_a_file_of_the_stack_that_cannot_be_written_is_not_one_of_the_terminal(
    stack: ShellStack, messages: list[str], monkeypatch: pytest.MonkeyPatch, free_bytes: int, advice: str
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=free_bytes))
    with monkeypatch.context() as full:
        full.setattr("pathlib.Path.mkdir", refuse)
        with pytest.raises(EmbeddedError, match=rf"cannot be started: No space left on device: \S+{advice}"):
            run([], show=messages.append, stack=stack)
    assert "all processes have ended" in messages[-1]


def test_a_missing_temporary_folder_is_reported(messages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.gettempdir", missing)
    with pytest.raises(EmbeddedError, match=r"No usable temporary directory found .*Set TMPDIR"):
        run([], show=messages.append)
    assert messages == []


def test_a_part_that_fails_on_a_full_disk_says_so(
    stack: ShellStack, messages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def show(text: str) -> None:
        messages.append(text)
        if text.startswith("Up"):
            os.kill(stack.children["two"].pid, signal.SIGKILL)

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    with pytest.raises(EmbeddedError, match=r"two stopped .*\n(.*\n)*.* has 3 MB left\. Free some, or set TMPDIR"):
        run(python("import time; time.sleep(3600)"), show=show, stack=stack)


def test_a_failed_part_ends_the_command(stack: ShellStack, messages: list[str]) -> None:
    def show(text: str) -> None:
        messages.append(text)
        if text.startswith("Up"):
            os.kill(stack.children["two"].pid, signal.SIGKILL)

    with pytest.raises(PartFailed, match="two stopped"):
        run(python("import time; time.sleep(3600)"), show=show, stack=stack)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command(signum: int, code: int, stack: ShellStack, messages: list[str]) -> None:
    script = f"import os, signal, time; os.kill({os.getpid()}, {int(signum)}); time.sleep(3600)"
    assert run(python(script), show=messages.append, stack=stack) == code


def test_a_wait_reports_failed_parts_and_ends_with_ctrl_c(stack: ShellStack, messages: list[str]) -> None:
    def show(text: str) -> None:
        messages.append(text)
        if "DUBLINE_API_KEY" in text:
            assert "the-key" in text
            assert stack.url in text
            os.kill(stack.children["two"].pid, signal.SIGKILL)
        if text.startswith("two stopped"):
            assert running_in(stack.folder)
            os.kill(os.getpid(), signal.SIGINT)

    assert run([], show=show, stack=stack) == 0
    assert [text for text in messages if text.startswith("two stopped")]


def test_ctrl_c_during_the_start_leaves_nothing(stack: ShellStack) -> None:
    messages: list[str] = []

    def show(text: str) -> None:
        messages.append(text)
        if text.startswith("Starting"):
            os.kill(os.getpid(), signal.SIGINT)

    assert run([], show=show, stack=stack) == 0
    assert not [text for text in messages if text.startswith("Up")]


def test_a_closed_terminal_does_not_prevent_the_stop(stack: ShellStack) -> None:
    def show(text: str) -> None:
        raise OSError(text)

    with pytest.raises(OSError, match="Starting"):
        run([], show=show, stack=stack)


def test_a_part_that_receives_ctrl_c_first_is_not_a_failure(messages: list[str]) -> None:
    stack = ShellStack(task(PREPARE, "kill -INT $PPID; exit 1"))
    assert run([], show=messages.append, stack=stack) == 0
    eventually(lambda: is_removed(stack))
