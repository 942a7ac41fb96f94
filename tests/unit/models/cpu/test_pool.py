"""Processes that compute cores: as many as threads, gone with the pool, and replaced when they are killed."""

from __future__ import annotations

import gc
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

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
