"""The processes that compute the cores of one autoencoder: one for each thread that computes at a time."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import tempfile
import weakref
from collections import deque
from contextlib import suppress
from multiprocessing import Pipe
from typing import TYPE_CHECKING

import torch

from dubline.models.cpu.shapes import MOST_FRAMES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from torch import Tensor

    from dubline.models.cpu.core_process import Layers
    from dubline.models.cpu.shapes import Shape


class _CoreProcess:
    """One process; one thread uses it at a time. It ends with this object."""

    def __init__(self, cores: Sequence[Layers]) -> None:
        self._cores = cores
        self._connection, other = Pipe()
        with tempfile.TemporaryFile() as file, other:
            descriptor = os.memfd_create("cores") if hasattr(os, "memfd_create") else os.dup(file.fileno())
            try:
                os.ftruncate(descriptor, max(layers.shapes.size_bytes for layers in cores))
                self._memory = memoryview(mmap.mmap(descriptor, 0))
                inherited = other.fileno(), descriptor
                command = [sys.executable, "-m", "dubline.models.cpu.core_process", *map(str, inherited)]
                # A session of its own: a signal of the terminal must not end it before the worker has finished its
                # part.
                self._process = subprocess.Popen(
                    command, pass_fds=inherited, stdin=subprocess.DEVNULL, start_new_session=True
                )
            finally:
                os.close(descriptor)
        weakref.finalize(self, _end, self._connection, self._process)
        # A process that has ended says why at the first request.
        with suppress(ConnectionError):
            self._connection.send(list(cores))

    def compute(self, number: int, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Compute the outputs of at most `MOST_FRAMES` frames.

        Raises:
            MemoryError: the process was killed, or had too little memory.
            RuntimeError: ncnn failed, or the process ended otherwise.
        """
        frames = len(inputs[0])
        shapes = self._cores[number].shapes
        memories, results = shapes.split(self._memory, frames)
        for memory, shape, tensor in zip(memories, shapes.inputs, inputs, strict=True):
            _tensor(memory, shape).copy_(tensor)
        try:
            with suppress(ConnectionError):
                self._connection.send((number, frames))
            error = self._connection.recv()
        except (EOFError, OSError) as cause:
            status = self._process.wait()
            if status == -signal.SIGKILL:
                raise MemoryError("the process that computes with ncnn was killed") from cause
            raise RuntimeError(f"the process that computes with ncnn ended with status {status}") from cause
        if error is not None:
            raise error
        return [_tensor(*result).clone() for result in zip(results, shapes.outputs, strict=True)]


def _tensor(memory: memoryview, shape: Shape) -> Tensor:
    """Return the tensor of all frames in shared memory."""
    return torch.frombuffer(memory, dtype=torch.float32).reshape(-1, *shape)


def _end(connection: Connection, process: subprocess.Popen[bytes]) -> None:
    """End a process: it reads the end of the connection."""
    connection.close()
    process.wait()


class ProcessPool:
    """Computes cores in processes, which are started when a thread finds none that is free.

    Args:
        cores: all cores of the autoencoder.
    """

    def __init__(self, cores: Sequence[Layers]) -> None:
        self._cores = cores
        # Ends of a deque are exchanged between threads without a lock.
        self._free: deque[_CoreProcess] = deque([_CoreProcess(cores)])

    def compute(self, number: int, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the outputs of a batch. Several threads may call it at once.

        Args:
            number: of the core.
            inputs: in fp32.

        Raises:
            MemoryError: a process was killed, or had too little memory.
            RuntimeError: ncnn failed, or a process ended otherwise.
        """
        try:
            process = self._free.pop()
        except IndexError:
            process = _CoreProcess(self._cores)
        parts = [
            process.compute(number, part) for part in zip(*(one.split(MOST_FRAMES) for one in inputs), strict=True)
        ]
        # After an error the process is dropped.
        self._free.append(process)
        if len(parts) == 1:
            return tuple(parts[0])
        return tuple(torch.cat(results) for results in zip(*parts, strict=True))
