"""A hostile decoder in the place of the real one, in the same sandbox, below a worker with a secret."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from dubline.worker.media import decoder, seccomp

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hush-0f3a"

# A process like a worker: it hides its memory, then examines a file with the decoder of the last argument.
WORKER = """
import json, subprocess, sys
from pathlib import Path
from dubline.orchestration import process
from dubline.worker.media import decoder
process.hide_memory()
start = subprocess.Popen
subprocess.Popen = lambda command, **options: start([sys.executable, "-c", sys.argv[2], *command[-1:]], **options)
with decoder.started("examine", [Path(sys.argv[1])], lambda: None) as hostile:
    sys.stdout.write(b"".join(hostile.ask({"settings": sys.argv[1]}, 100_000)).decode())
"""

# What code that took over a decoder would try. Each attempt ends in an error or in what it got.
HOSTILE = """
import ctypes, errno, json, os, socket, sys
from dubline.worker.media import sandbox, seccomp, template
WEAKEN
sandbox.limit()
libc = ctypes.CDLL(None, use_errno=True)

def read(path):
    with open(path, "rb") as file:
        return file.read().decode(errors="replace")

def call(function, *arguments):
    if function(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "done"

class Span(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("length", ctypes.c_size_t))

# Unlike an attachment it does not stop the parent.
PTRACE_SEIZE = 0x4206
parent, buffer = os.getppid(), ctypes.create_string_buffer(8)
here = Span(ctypes.addressof(buffer), 8)

def connect():
    socket.socket(socket.AF_INET).connect(("127.0.0.1", 9))
    return "connected"

def inherited():
    found = []
    for number in range(256):
        try:
            os.fstat(number)
            found.append(number)
        except OSError:
            pass
    if len(found) > 4:
        return found
    raise OSError(errno.EACCES, "standard streams and one file")

ATTEMPTS = {
    "inherited files": lambda _: inherited(),
    "environment of the parent": lambda _: read(f"/proc/{parent}/environ"),
    "own environment": lambda _: json.dumps(dict(os.environ)),
    "own environment in proc": lambda _: read("/proc/self/environ"),
    "memory map of the parent": lambda _: read(f"/proc/{parent}/maps"),
    "settings file": lambda asked: read(asked["settings"]),
    "list of files": lambda _: os.listdir("/"),
    "write of a file": lambda _: os.open("/tmp/hostile", os.O_CREAT | os.O_WRONLY),
    "ptrace": lambda _: call(libc.ptrace, PTRACE_SEIZE, parent, None, None),
    "process_vm_readv": lambda _: call(
        libc.process_vm_readv, parent, ctypes.byref(here), 1, ctypes.byref(here), 1, 0),
    "socket": lambda _: socket.socket(socket.AF_INET).fileno(),
    "unix socket": lambda _: socket.socket(socket.AF_UNIX).fileno(),
    "fork": lambda _: os.fork() or os._exit(0),
    "kill": lambda _: os.kill(parent, 0) or "done",
}

def task(asked, files):
    found = {}
    for name, attempt in ATTEMPTS.items():
        try:
            found[name] = {"got": attempt(asked)}
        except OSError as error:
            found[name] = {"errno": error.errno}
    yield json.dumps(found).encode()

sys.exit(template.serve(task))
"""
REFUSED = "def refuse(): raise OSError(1, 'refused by this machine')\n"
WITHOUT_FILTER = REFUSED + "seccomp.restrict = refuse"
WITHOUT_USER = REFUSED + "sandbox._leave_root = refuse"
WITHOUT_ALL = "sandbox.enter = list"


def attempted(folder: Path, weaken: str) -> dict[str, dict[str, Any]]:
    settings = folder / "settings"
    settings.write_text(f"password={SECRET}")
    settings.chmod(0o600)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, settings, HOSTILE.replace("WEAKEN", weaken)],
        env={**os.environ, "DUBLINE_DATABASE_URL": SECRET, "AWS_SECRET_ACCESS_KEY": SECRET},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_hostile_decoder_reads_secrets_outside_the_sandbox(tmp_path: Path) -> None:
    found = attempted(tmp_path, WITHOUT_ALL)
    assert SECRET in found["settings file"]["got"]
    assert "got" in found["socket"]


@pytest.mark.parametrize("weaken", ["", WITHOUT_FILTER, WITHOUT_USER], ids=["whole", "without filter", "same user"])
def test_a_hostile_decoder_gets_nothing(tmp_path: Path, weaken: str) -> None:
    found = attempted(tmp_path, weaken)
    assert SECRET not in json.dumps(found)
    own = json.loads(found.pop("own environment")["got"])
    assert not [name for name in own if name.startswith(("DUBLINE_", "AWS_"))]
    # As another user it may learn that its parent exists, but cannot signal it. Only the filter prevents a signal of
    # the same user, and only root has another user.
    unprotected = {"kill"} if weaken == WITHOUT_FILTER and os.geteuid() != 0 else set()
    assert {name for name, result in found.items() if "got" in result} == unprotected
    for name in unprotected:
        found.pop(name)
    refusals = {errno.EPERM, errno.EACCES, errno.EMFILE, errno.EAGAIN, errno.ESRCH}
    assert {result["errno"] for result in found.values()} <= refusals


@pytest.mark.skipif(sys.platform != "linux", reason="the sandbox uses system calls of Linux")
def test_this_machine_grants_every_protection(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, Any]] = []
    log = type("Log", (), {"info": lambda _, event: events.append((event, None))})
    monkeypatch.setattr(decoder, "_log", log())
    decoder.log_protections()
    assert events == [("sandbox_complete", None)]


def test_a_refused_protection_is_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[tuple[str, Any]] = []
    log = type("Log", (), {"warning": lambda _, event, refused: events.append((event, refused))})
    monkeypatch.setattr(decoder, "_log", log())
    done = subprocess.CompletedProcess([], 0, b'["system_call_filter"]')
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    decoder.log_protections()
    assert events == [("sandbox_degraded", ["system_call_filter"])]


def test_there_is_no_filter_for_an_unknown_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp.platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="no filter"):
        seccomp.restrict()
