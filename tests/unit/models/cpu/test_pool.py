"""Processes that compute cores: as many as threads, gone with the pool, and replaced when they are killed."""

from __future__ import annotations

import errno
import gc
import os
import resource
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import torch
from torch import Tensor

from dubline.models.cpu.autoencoder import recorded
from dubline.models.cpu.pool import ProcessPool


def plus_one(tensor: Tensor) -> tuple[Tensor, ...]:
    return (tensor + 1,)


@pytest.fixture
def pool() -> ProcessPool:
    return ProcessPool([recorded(plus_one, [torch.zeros(1, 8, 4, 4)])[0]])


def processes(pool: ProcessPool) -> list[int]:
    return [process._process.pid for process in pool._free]


def test_threads_that_compute_at_once_have_a_process_each(pool: ProcessPool) -> None:
    together = Barrier(3)

    def compute(value: int) -> bool:
        together.wait()
        given = torch.full((200, 8, 4, 4), float(value))
        return torch.equal(pool.compute(0, [given])[0], given + 1)

    with ThreadPoolExecutor(3) as threads:
        assert all(threads.map(compute, range(3)))
    assert 1 <= len(set(processes(pool))) <= 3


def test_a_process_that_is_killed_is_an_error_of_memory_once(pool: ProcessPool) -> None:
    (killed,) = processes(pool)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(MemoryError, match="was killed"):
        pool.compute(0, [torch.zeros(1, 8, 4, 4)])
    assert pool.compute(0, [torch.zeros(1, 8, 4, 4)])[0].eq(1).all()
    assert processes(pool) != [killed]


def test_a_process_that_is_killed_at_its_start_is_an_error_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    start = subprocess.Popen

    def killed(*args: Any, **named: Any) -> subprocess.Popen[bytes]:
        process = start(*args, **named)
        process.kill()
        process.wait()
        return process

    monkeypatch.setattr(subprocess, "Popen", killed)
    pool = ProcessPool([recorded(plus_one, [torch.zeros(1, 8, 4, 4)])[0]])
    with pytest.raises(MemoryError, match="was killed"):
        pool.compute(0, [torch.zeros(1, 8, 4, 4)])


@pytest.mark.parametrize("failing", ["subprocess.Popen", "os.ftruncate", "mmap.mmap"])
def test_a_process_that_cannot_be_started_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    layers = recorded(plus_one, [torch.zeros(1, 8, 4, 4)])[0]

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(failing, fail)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(BlockingIOError):
        ProcessPool([layers])
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_too_little_memory_of_a_process_is_reported_as_such() -> None:
    small, large = torch.zeros(1, 8, 4, 4), torch.zeros(1, 8, 512, 512)
    pool = ProcessPool([recorded(plus_one, [given])[0] for given in (small, large)])
    # It has loaded all, and keeps no freed memory for the large one.
    pool.compute(0, [small])
    (process,) = processes(pool)
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[0])
    resource.prlimit(process, resource.RLIMIT_AS, (pages * resource.getpagesize(),) * 2)
    with pytest.raises(MemoryError):
        pool.compute(1, [large])


def test_a_network_that_ncnn_refuses_is_named() -> None:
    layers = recorded(plus_one, [torch.zeros(1, 8, 4, 4)])[0]
    pool = ProcessPool([replace(layers, text="7767517")])
    with pytest.raises(RuntimeError, match="did not load"):
        pool.compute(0, [torch.zeros(1, 8, 4, 4)])


def test_signals_of_a_terminal_do_not_reach_the_processes(pool: ProcessPool) -> None:
    (process,) = processes(pool)
    assert os.getsid(process) != os.getsid(0)


def test_processes_end_with_the_pool() -> None:
    pool = ProcessPool([recorded(plus_one, [torch.zeros(1, 8, 4, 4)])[0]])
    (process,) = processes(pool)
    del pool
    gc.collect()
    # A child that was waited for no longer exists.
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_inputs_are_not_changed(pool: ProcessPool) -> None:
    given = torch.zeros(2, 8, 4, 4)
    pool.compute(0, [given])
    assert not given.any()
