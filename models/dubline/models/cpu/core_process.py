"""A process that computes cores with ncnn: `python -m dubline.models.cpu.core_process CONNECTION MEMORY`.

Both arguments are numbers of inherited descriptors.

The Python module of ncnn does not release the interpreter's lock while it computes, so threads of one process would
wait for each other. Imports neither torch nor numpy: it is small and starts soon. Ends with the connection.
"""

from __future__ import annotations

import mmap
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

import ncnn

from dubline.models.cpu.shapes import Shape, Shapes, frame_bytes

#: Status of ncnn where an allocation fails.
NO_MEMORY: Final = -100


@dataclass(frozen=True, slots=True)
class Layers:
    """A core in ncnn's format."""

    text: str
    """The layers."""
    weights: bytes
    """Of all layers, in their order."""
    inputs: list[str]
    """Names of the blobs of the inputs."""
    outputs: list[str]
    """Names of the blobs of the outputs."""
    shapes: Shapes
    """Of inputs and outputs."""


class Core:
    """A core that ncnn has loaded. Its bytes depend on no batch size.

    ncnn computes 3 x 3 convolutions by Winograd's algorithm, which takes a quarter of the multiplications.
    """

    def __init__(self, net: ncnn.Net, layers: Layers) -> None:
        self._net, self._shapes = net, layers.shapes
        self._inputs, self._outputs = layers.inputs, layers.outputs

    @classmethod
    def load(cls, layers: Layers) -> Self:
        """Load a core.

        Raises:
            RuntimeError: ncnn refuses it.
        """
        net = ncnn.Net()
        options = net.opt
        options.num_threads, options.use_vulkan_compute = 1, False
        # All numbers stay fp32.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        options.use_bf16_packed = options.use_bf16_storage = False
        net.opt = options
        # ncnn would not copy weights that it reads from memory.
        with tempfile.TemporaryDirectory() as folder:
            text, weights = Path(folder) / "layers", Path(folder) / "weights"
            text.write_text(layers.text)
            weights.write_bytes(layers.weights)
            if net.load_param(str(text)) or net.load_model(str(weights)):
                raise RuntimeError("ncnn did not load a core")
        return cls(net, layers)

    def compute(self, memory: memoryview, frames: int) -> None:
        """Compute the outputs of a request in shared memory.

        Raises:
            MemoryError: there is too little of it.
            RuntimeError: ncnn fails otherwise.
        """
        inputs, outputs = self._shapes.split(memory, frames)
        for index in range(frames):
            extractor = self._net.create_extractor()
            for name, data, shape in zip(self._inputs, inputs, self._shapes.inputs, strict=True):
                # A copy: layers that work in place read the reference count of their input, which this memory has not.
                given = ncnn.Mat(_frame(data, index, shape).cast("f", shape)).clone()
                if given.empty():
                    raise MemoryError(f"ncnn had too little memory for {name}")
                extractor.input(name, given)
            for name, data, shape in zip(self._outputs, outputs, self._shapes.outputs, strict=True):
                status, matrix = extractor.extract(name)
                if status == NO_MEMORY:
                    raise MemoryError(f"ncnn had too little memory at {name}")
                if status:
                    raise RuntimeError(f"ncnn failed with status {status} at {name}")
                _frame(data, index, shape)[:] = memoryview(matrix).tobytes()


def _frame(data: memoryview, index: int, shape: Shape) -> memoryview:
    size = frame_bytes(shape)
    return data[index * size : (index + 1) * size]


def serve(connection: Connection, memory: memoryview) -> None:
    """Load the cores that are sent first, then answer requests: the number of a core, and of frames."""
    cores = [Core.load(layers) for layers in connection.recv()]
    while True:
        try:
            number, frames = connection.recv()
        except EOFError:
            return
        cores[number].compute(memory, frames)
        connection.send(None)


def main(connection: int, memory: int) -> None:
    """Serve with the descriptors that were inherited."""
    with Connection(connection) as opened:
        try:
            serve(opened, memoryview(mmap.mmap(memory, 0)))
        except (MemoryError, RuntimeError) as error:
            opened.send(error)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
