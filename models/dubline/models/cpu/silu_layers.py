"""Layers that ncnn has not, or only slowly: SiLU, and group norm with SiLU. Imports neither torch nor numpy."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

import ncnn

from dubline.models.cpu import activation
from dubline.models.cpu.shapes import FLOAT_BYTES, GROUP_NORM_SILU, SILU

if TYPE_CHECKING:
    from collections.abc import Callable

#: Dimensions of features.
AXES: Final = 3

# ncnn keeps no reference to a layer that Python makes.
_layers: list[ncnn.Layer] = []


class Silu(ncnn.Layer):  # type: ignore[misc]
    """x / (1 + e^-x) of each value of features (C, H, W), which have the same shape in all calls."""

    def __init__(self) -> None:
        super().__init__()
        self.one_blob_only = self.support_inplace = self.support_packing = True
        self._call: Callable[[int], None] | None = None

    def forward_inplace(self, features: ncnn.Mat, _options: ncnn.Option) -> int:
        """Compute the activation of the features."""
        if self._call is None:
            if features.dims != AXES:
                raise RuntimeError(f"SiLU of {features.dims} axes; it is compiled for {AXES}")
            # In ctypes' numbers, which are not converted in each call.
            pixels, step = features.w * features.h, features.cstep * features.elempack
            self._call = self._compiled(
                features.elempack, [ctypes.c_int64(each) for each in (features.c, pixels, step)]
            )
        self._call(_address(features))
        return 0

    def _compiled(self, lanes: int, shape: list[Any]) -> Callable[[int], None]:
        """Return a function of the address of features."""
        function = activation.silu(lanes)
        return lambda address: function(address, *shape)


class GroupNormSilu(Silu):
    """Group norm and SiLU."""

    def load_param(self, parameters: ncnn.ParamDict) -> int:
        """Read the numbers of groups and channels, and what is added to the variance."""
        self._groups, self._channels = parameters.get(0, 1), parameters.get(1, 0)
        self._epsilon = parameters.get(2, 0.0)
        return 0

    def load_model(self, weights: ncnn.ModelBin) -> int:
        """Read weight and bias of each channel."""
        # 1: fp32 without a mark.
        self._weights = [weights.load(self._channels, 1) for _ in range(2)]
        return 0

    def _compiled(self, lanes: int, shape: list[Any]) -> Callable[[int], None]:
        function = activation.group_norm_silu(lanes)
        weights = [ctypes.c_void_p(_address(each)) for each in self._weights]
        # Both arrays hold a number for each channel while features are computed.
        arrays = [(ctypes.c_float * self._channels)() for _ in range(2)]
        values = ctypes.c_int64(self._groups), ctypes.c_float(self._epsilon)
        return lambda address: function(address, *shape, *weights, *arrays, *values)


def register(net: ncnn.Net) -> None:
    """Make the layers known to a network, before it is loaded."""
    for name, kind in ((SILU, Silu), (GROUP_NORM_SILU, GroupNormSilu)):
        net.register_custom_layer(name, lambda kind=kind: _made(kind), lambda _: None)


def _made(kind: type[ncnn.Layer]) -> ncnn.Layer:
    _layers.append(kind())
    return _layers[-1]


def _address(values: ncnn.Mat) -> int:
    """Return the address of the first value.

    ncnn gives access to unpacked values only, so a view of the first channels is said to be unpacked.
    """
    view = values.channel(0) if values.dims == AXES else values
    if view.elempack > 1:
        view.elemsize, view.elempack = FLOAT_BYTES, 1
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
