from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.integration.embedded.processes import eventually
from tests.integration.embedded.test_stack import ShellStack, is_removed, task

from dubline.embedded import stack as stack_module
from dubline.embedded.application import application
from dubline.embedded.errors import PartFailed
from dubline.embedded.fork_server import Forked, ForkServer
from dubline.embedded.part import Part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PART = """
import json, os, sys
print(json.dumps({
    "arguments": sys.argv[1:], "name": __name__, "value": os.environ.get("VALUE"), "other": os.environ.get("OTHER"),
    "folder": os.getcwd(), "session": os.getsid(0) == os.getpid(), "imported": "plistlib" in sys.modules,
}))
print("an error", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
FOREVER = "import time\nprint('running', flush=True)\ntime.sleep(3600)\n"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForkServer]:
    monkeypatch.setenv("OTHER", "of the server")
    server = ForkServer(tmp_path / "forks.log", [["plistlib"]])
    yield server
    server.close()


def start(server: ForkServer, folder: Path, script: str, *arguments: str) -> tuple[Forked, Path, Path]:
    folder.mkdir()
    (folder / "part.py").write_text(script)
    output, log = folder / "output", folder / "log"
    with output.open("wb") as out, log.open("wb") as errors:
        argv = [sys.executable, "-m", "part", *arguments]
        return server.start(argv, {"VALUE": "given"}, folder, out, errors), output, log


def test_a_fork_is_like_a_process_of_its_own(server: ForkServer, tmp_path: Path) -> None:
    forked, output, log = start(server, tmp_path / "one", PART, "7")
    assert forked.wait(60) == forked.poll() == 7
    assert json.loads(output.read_text()) == {
        "arguments": ["7"],
        "name": "__main__",
        "value": "given",
        "other": None,
        "folder": str(tmp_path / "one"),
        "session": True,
        "imported": True,
    }
    assert log.read_text() == "an error\n"


def test_an_environment_of_any_size_is_inherited(server: ForkServer, tmp_path: Path) -> None:
    large = {f"VALUE_{number}": "x" * 100_000 for number in range(18)}
    (tmp_path / "part.py").write_text("import os\nprint(sum(map(len, os.environ.values())))\n")
    with (tmp_path / "output").open("w+b") as output, (tmp_path / "log").open("wb") as log:
        forked = server.start([sys.executable, "-m", "part"], large, tmp_path, output, log)
        assert forked.wait(60) == 0
    assert int((tmp_path / "output").read_text()) == 1_800_000


def test_a_signal_ends_a_fork_and_no_other(server: ForkServer, tmp_path: Path) -> None:
    (one, output, _), (two, _, _) = (start(server, tmp_path / name, FOREVER) for name in ("one", "two"))
    eventually(output.read_text)
    with pytest.raises(subprocess.TimeoutExpired):
        one.wait(0.01)
    one.send_signal(signal.SIGTERM)
    assert one.wait(60) == -signal.SIGTERM
    assert two.poll() is None
    two.send_signal(signal.SIGKILL)
    assert two.wait(60) == -signal.SIGKILL


#: The process that waits for a part fails if the part's id is free before the part's exit code is written.
WAITING = """
import os, socket
from dubline.embedded import fork_server
write, written = os.write, []
def checked(file, data):
    if written:
        os.kill(fork_server.NUMBER.unpack(written[0])[0], 0)
    written.append(data)
    return write(file, data)
os.write = checked
fork_server._become = lambda: os._exit(7)
request = os.memfd_create("request")
os.pwrite(request, b"{}", 0)
ours, theirs = socket.socketpair()
fork_server._fork(request, os.open(os.devnull, os.O_RDWR), os.open(os.devnull, os.O_RDWR), theirs.detach())
"""


def test_the_id_of_a_fork_is_not_free_before_its_end_is_known() -> None:
    waiting = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True, check=False)
    assert waiting.returncode == 0, waiting.stderr


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    server = ForkServer(tmp_path / "forks.log", [["no_such_module"]])
    try:
        with pytest.raises(PartFailed, match=r"fork-server has ended(.|\n)*No module named 'no_such_module'"):
            start(server, tmp_path / "one", PART, "0")
    finally:
        server.close()


def test_a_server_that_still_imports_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(3600)\n")
    server = ForkServer(tmp_path / "forks.log", [["slow"]])
    began_s = time.monotonic()
    server.close()
    assert time.monotonic() - began_s < 60


def test_a_stack_forks_the_parts_that_can_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack_module, "PRELOADED", ())
    part = Part(name="python", argv=(sys.executable, "-m", "platform"), forked=True)
    parents = "cat /proc/$$/status | grep PPid"
    with ShellStack(part, task("shell", parents), fork=True) as stack:
        assert "Linux" in stack.children["python"].output()
        # Of a program the stack is the parent.
        assert stack.children["shell"].output().split()[-1] == str(os.getpid())
    eventually(lambda: is_removed(stack))


def test_a_stack_without_forks_starts_the_same_programs() -> None:
    part = Part(name="python", argv=(sys.executable, "-m", "platform"), forked=True)
    with ShellStack(part, replace(part, name="again")) as stack:
        assert all("Linux" in child.output() for child in stack.children.values())
    eventually(lambda: is_removed(stack))


def test_all_python_parts_are_forked() -> None:
    forked = {part.name for part in application(8000) if part.forked}
    assert forked == {"prepare", "renderer", "prober", "maintenance", "api"}
