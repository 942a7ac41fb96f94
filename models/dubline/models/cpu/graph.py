"""A network as layers of ncnn, recorded while torch computes it once.

ncnn's format: one text line for each layer with its type, name, blobs and numbered parameters, and one file with all
weights in the order of the layers (https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure). A batch has
one item in ncnn; axes below are therefore one less than torch's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


MAGIC: Final = "7767517"
#: Marks weights as fp32 in the weights file.
FP32: Final = b"\0\0\0\0"
#: Outputs of a convolution up to which the direct algorithm takes half of the time of Winograd's.
FEW: Final = 2
#: Bits of the algorithms that a layer is not to use: products of matrices, and Winograd's.
DIRECT: Final = 1 << 5 | 1 << 6
#: Numbers of operations in a BinaryOp layer.
ADD: Final = 0
MULTIPLY: Final = 2

_ops = torch.ops.aten


class UnsupportedOperationError(Exception):
    """A network calls an operation that is not translated."""


class Graph(TorchDispatchMode):
    """Records the operations of a network on tensors of batch 1.

    Args:
        inputs: of the network.
    """

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.weights: list[bytes] = []
        self._lines: list[tuple[str, list[str], list[str], str]] = []
        self._blobs: dict[int, str] = {}
        # A tensor that is freed could give its id to another one.
        self._alive: list[Tensor] = []
        self._count = 0
        self.inputs = [self.add("Input", [], tensor) for tensor in inputs]
        self.outputs: list[str] = []

    def finish(self, results: Sequence[Tensor]) -> str:
        """Return ncnn's description of all layers.

        A blob that is read more than once, as a result too, is copied by a Split layer: ncnn frees what was read.

        Args:
            results: of the network; `outputs` are the names of their blobs.
        """
        self.outputs = self._names(results)
        lines = self._with_splits()
        blobs = sum(len(tops) for _, _, tops, _ in lines)
        rows = [
            f"{kind} layer{number} {len(bottoms)} {len(tops)} {' '.join([*bottoms, *tops])} {parameters}".rstrip()
            for number, (kind, bottoms, tops, parameters) in enumerate(lines)
        ]
        return "\n".join([MAGIC, f"{len(lines)} {blobs}", *rows, ""])

    def add(self, kind: str, read: Sequence[Tensor], *written: Tensor, **parameters: object) -> str:
        """Append a layer; return the name of its first output.

        Args:
            kind: ncnn's name of the layer.
            read: tensors of earlier layers.
            written: the tensors that it computes.
            parameters: of the layer; `p4` is number 4.
        """
        tops = []
        for tensor in written:
            self._alive.append(tensor)
            self._blobs[id(tensor)] = f"blob{self._count}"
            tops.append(f"blob{self._count}")
            self._count += 1
        values = " ".join(f"{key[1:]}={value}" for key, value in parameters.items())
        self._lines.append((kind, self._names(read), tops, values))
        return tops[0]

    def alias(self, tensor: Tensor, other: Tensor) -> None:
        """Name a tensor that is the same in ncnn."""
        self._alive.append(tensor)
        self._blobs[id(tensor)] = self._blobs[id(other)]

    def store(self, *tensors: Tensor, tagged: bool = False) -> None:
        """Append weights of the layer that was added last."""
        self.weights += [FP32] * tagged
        self.weights += [tensor.detach().float().contiguous().numpy().tobytes() for tensor in tensors]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return False: otherwise torch imports its compiler first, which takes 1.6 s."""
        return False

    def __torch_dispatch__(
        self, function: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Compute an operation and append its layer, unless it depends on weights only."""
        del types
        results = function(*args, **(kwargs or {}))
        read = [part for arg in args for part in (arg if isinstance(arg, (list, tuple)) else [arg])]
        if any(isinstance(part, Tensor) and id(part) in self._blobs for part in read):
            if function not in TRANSLATIONS:
                raise UnsupportedOperationError(str(function))
            TRANSLATIONS[function](self, results, *args)
        return results

    def _names(self, tensors: Sequence[Tensor]) -> list[str]:
        return [self._blobs[id(tensor)] for tensor in tensors]

    def _with_splits(self) -> list[tuple[str, list[str], list[str], str]]:
        readers: dict[str, list[list[str]]] = {}
        for bottoms in (*(line[1] for line in self._lines), self.outputs):
            for bottom in bottoms:
                readers.setdefault(bottom, []).append(bottoms)
        lines = []
        for kind, bottoms, tops, parameters in self._lines:
            lines.append((kind, bottoms, tops, parameters))
            for top in tops:
                lines += _split(top, readers.get(top, []))
        return lines


def _split(blob: str, readers: list[list[str]]) -> list[tuple[str, list[str], list[str], str]]:
    """Give every reader of a blob its own copy."""
    if len(readers) < 2:  # noqa: PLR2004 - one reader needs no copy
        return []
    copies = [f"{blob}_{number}" for number in range(len(readers))]
    for reader, copy in zip(readers, copies, strict=True):
        reader[reader.index(blob)] = copy
    return [("Split", [blob], copies, "")]


def record(
    network: Callable[..., tuple[Tensor, ...]], inputs: Sequence[Tensor]
) -> tuple[Graph, str, tuple[Tensor, ...]]:
    """Record a network; return its graph, ncnn's description of it, and the results.

    Args:
        network: computes tensors of tensors, both of batch 1.
        inputs: of the sides at which the network will run.

    Raises:
        UnsupportedOperationError: an operation has no translation.
    """
    graph = Graph(inputs)
    # In inference mode torch dispatches composite operations whole.
    with torch.inference_mode(mode=False), torch.no_grad(), graph:
        results = network(*inputs)
    return graph, graph.finish(results), results


def _convolution(graph: Graph, result: Tensor, *args: Any) -> None:
    features, weight, bias, stride, padding = args[:5]
    out, _, height, width = weight.shape
    direct = {"p31": DIRECT} if out <= FEW else {}
    graph.add(
        "Convolution", [features], result,
        p0=out, p1=width, p11=height, p3=stride[0], p4=padding[0], p5=1, p6=weight.numel(), **direct,
    )  # fmt: skip
    graph.store(weight, tagged=True)
    graph.store(bias)


def _linear(graph: Graph, result: Tensor, bias: Tensor, vector: Tensor, weight: Tensor) -> None:
    graph.add("InnerProduct", [vector], result, p0=weight.shape[1], p1=1, p2=weight.numel())
    # torch multiplies by the transposed weight.
    graph.store(weight.T, tagged=True)
    graph.store(bias)


def _group_norm(graph: Graph, results: tuple[Tensor, ...], *args: Any) -> None:
    features, weight, bias, _, channels, _, groups, epsilon = args
    graph.add("GroupNorm", [features], results[0], p0=groups, p1=channels, p2=f"{epsilon:e}", p3=1)
    graph.store(weight, bias)


def _prelu(graph: Graph, result: Tensor, features: Tensor, slope: Tensor) -> None:
    graph.add("PReLU", [features], result, p0=slope.numel())
    graph.store(slope)


def _binary(operation: int) -> Callable[..., None]:
    def translate(graph: Graph, result: Tensor, first: Tensor, second: Tensor | float) -> None:
        if isinstance(second, Tensor):
            graph.add("BinaryOp", [first, second], result, p0=operation)
        else:
            graph.add("BinaryOp", [first], result, p0=operation, p1=1, p2=float(second))

    return translate


def _unary(kind: str) -> Callable[..., None]:
    def translate(graph: Graph, result: Tensor, features: Tensor) -> None:
        graph.add(kind, [features], result)

    return translate


def _upsample(graph: Graph, result: Tensor, features: Tensor, *_: object) -> None:
    factor = result.shape[-1] // features.shape[-1]
    graph.add("Interp", [features], result, p0=1, p1=factor, p2=factor)


def _concatenate(graph: Graph, result: Tensor, parts: list[Tensor], *_: object) -> None:
    if len(parts) == 1:
        graph.alias(result, parts[0])
    else:
        graph.add("Concat", parts, result, p0=0)


def _as_channels(graph: Graph, result: Tensor, features: Tensor, *_: object) -> None:
    """Translate the append of an axis: at four axes (1, C, 1, 1) the vector becomes C channels."""
    if result.ndim == 4:  # noqa: PLR2004
        graph.add("Reshape", [features], result, p0=1, p1=1, p2=result.shape[1])
    else:
        graph.alias(result, features)


def _split_channels(graph: Graph, results: list[Tensor], features: Tensor, *_: object) -> None:
    sizes = [part.shape[1] for part in results]
    graph.add("Slice", [features], *results, **{"p-23300": ",".join(map(str, [len(sizes), *sizes]))}, p1=0)


def _pixel_shuffle(graph: Graph, result: Tensor, features: Tensor, factor: int) -> None:
    graph.add("PixelShuffle", [features], result, p0=factor)


def _pixel_unshuffle(graph: Graph, result: Tensor, features: Tensor, factor: int) -> None:
    graph.add("Reorg", [features], result, p0=factor)


#: Translations by torch's operation. Arguments: the graph, the result, and the operation's own.
TRANSLATIONS: Final[dict[Any, Callable[..., None]]] = {
    _ops.convolution.default: _convolution,
    _ops.addmm.default: _linear,
    _ops.native_group_norm.default: _group_norm,
    _ops._prelu_kernel.default: _prelu,  # noqa: SLF001 - torch's name of PReLU
    _ops.silu.default: _unary("Swish"),
    _ops.sigmoid.default: _unary("Sigmoid"),
    _ops.add.Tensor: _binary(ADD),
    _ops.mul.Tensor: _binary(MULTIPLY),
    _ops.upsample_nearest2d.default: _upsample,
    _ops.cat.default: _concatenate,
    _ops.unsqueeze.default: _as_channels,
    _ops.slice.Tensor: lambda graph, result, features, *_: graph.alias(result, features),
    _ops.split.Tensor: _split_channels,
    _ops.pixel_shuffle.default: _pixel_shuffle,
    _ops.pixel_unshuffle.default: _pixel_unshuffle,
}
