"""Parallel runs of pytest whose processes are forked."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.forks import PYTHON, Forks

ROOT = Path(__file__).parents[2]
CONFTEST = """
from tests import workers

def pytest_xdist_setupnodes(config, specs):
    workers.fork(config, specs)
"""
TESTS = """
import os
from pathlib import Path

with Path("imported").open("a") as file:
    file.write(f"{os.getpid()}\\n")

def test_passes():
    assert os.environ["PYTEST_XDIST_WORKER"]

def test_fails():
    assert os.getpid() == 0
"""


def run(folder: Path, processes: int = 2) -> str:
    """Run the tests of a folder in parallel processes; return the output."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text(f"[pytest]\npythonpath = {ROOT}\n")
    options = ["--numprocesses", str(processes), "--import-mode", "importlib", "-p", "xdist", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", "--disable-plugin-autoload", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False).stdout


@pytest.mark.skipif(sys.platform != "linux", reason="new interpreters are started outside Linux")
def test_a_file_is_imported_once_for_all_processes(tmp_path: Path) -> None:
    (tmp_path / "test_both.py").write_text(TESTS)
    output = run(tmp_path)
    assert "1 failed, 1 passed" in output
    assert len((tmp_path / "imported").read_text().split()) == 1


def test_a_file_that_cannot_be_imported_is_reported(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import no_such_module")
    assert "No module named 'no_such_module'" in run(tmp_path, processes=1)


@pytest.mark.parametrize(("argument", "code", "error"), [("0", 0, ""), ("7", 7, ""), ("wrong", 1, "wrong\n")])
def test_a_fork_has_the_imports_of_the_tests_and_its_own_end(
    forks: Forks, argument: str, code: int, error: str
) -> None:
    ended = forks.run([*PYTHON, "tests.integration.part", argument], {}, 60)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, f"{forks.shared is not None}\n", error)
