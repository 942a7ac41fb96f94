"""Prepares an autoencoder for rendering on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from dubline.models.cpu.core_process import Layers
from dubline.models.cpu.graph import record
from dubline.models.cpu.pool import ProcessPool
from dubline.models.cpu.shapes import Shapes
from dubline.models.layers import WithCore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from dubline.models.stage1.autoencoder import Autoencoder


class NcnnCore:
    """A core that a pool of processes computes.

    Args:
        pool: the processes.
        number: of the core.
        size_bytes: memory of its weights in all processes.
    """

    def __init__(self, pool: ProcessPool, number: int, size_bytes: int) -> None:
        self._pool, self._number, self.size_bytes = pool, number, size_bytes

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of one batch."""
        return self._pool.compute(self._number, inputs)


class _Recorder:
    """Computes a core with torch and records its layers."""

    size_bytes = 0

    def __init__(self, network: WithCore) -> None:
        self._network = network
        self.layers: Layers | None = None

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs of a batch of 1."""
        self.layers, results = recorded(self._network.core, inputs)
        return results


def recorded(network: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]) -> tuple[Layers, tuple[Tensor, ...]]:
    """Return a network in ncnn's format, and its results for inputs of batch 1."""
    graph, text, results = record(network, inputs)
    shapes = Shapes(*(tuple(tuple(one.shape[1:]) for one in tensors) for tensors in (inputs, results)))
    return Layers(text, b"".join(graph.weights), graph.inputs, graph.outputs, shapes), results


def compile_cores(autoencoder: Autoencoder, threads: int = 1) -> None:
    """Let ncnn compute the convolutions of rendering, at the preset's sides, with the weights of now.

    Args:
        autoencoder: in fp32 on the CPU; not to be trained after this.
        threads: that compute at once; each has a process with all weights.
    """
    networks = [module for module in autoencoder.modules() if isinstance(module, WithCore)]
    recorders = [_Recorder(network) for network in networks]
    for network, recorder in zip(networks, recorders, strict=True):
        network.compiled = recorder
    side = autoencoder.params.size_px
    # Tensors of inference mode cannot be recorded.
    with torch.inference_mode(mode=False), torch.no_grad():
        source = autoencoder.encode_source(torch.zeros(1, 3, side, side))
        autoencoder.fields(source, source.motion)
    cores = [recorder.layers for recorder in recorders if recorder.layers is not None]
    pool = ProcessPool(cores)
    for number, (network, layers) in enumerate(zip(networks, cores, strict=True)):
        # ncnn keeps the 3 x 3 weights, which are nearly all, as 6 x 6 values.
        network.compiled = NcnnCore(pool, number, threads * 4 * len(layers.weights))
