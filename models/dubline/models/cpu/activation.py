"""Group norm and SiLU in one pass over the features, compiled by LLVM for the processor of this machine.

ncnn has a layer for each; its exponential takes six times as long as a product. LLVM is in a wheel, so no compiler has
to be installed, and compiling takes a tenth of a second. Imports neither torch nor numpy.

ncnn packs channels: a vector has the same pixel of `lanes` channels, and a block has all pixels of these.
"""

from __future__ import annotations

import ctypes
import struct
from contextlib import contextmanager
from functools import lru_cache, reduce
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import llvmlite.binding as llvm
from llvmlite import ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTEGER: Final = ir.IntType(64)
SCALAR: Final = ir.FloatType()
POINTER: Final = ir.PointerType()
#: 2^x = 1 + x p(x) for x in [-.5, .5]: coefficients of p, the highest first (Cephes, `exp2f`).
EXP2: Final = (
    1.535336188319500e-4,
    1.339887440266574e-3,
    9.618437357674640e-3,
    5.550332471162809e-2,
    2.402264791363012e-1,
    6.931472028550421e-1,
)
LOG2_E: Final = 1.4426950408889634
#: Bound of exponents of 2: beyond it a sigmoid is 0 or 1.
MOST: Final = 126.0
#: Bits of a number of fp32 below its exponent.
MANTISSA_BITS: Final = 23
#: Sums that are added up at a time.
SUMS: Final = 4


class _Function:
    """Builds one function of a module: arithmetic on vectors of fp32, and loops.

    Args:
        module: of the function.
        name: of the function.
        arguments: types of its arguments.
        lanes: of a vector.
    """

    def __init__(self, module: ir.Module, name: str, arguments: list[Any], lanes: int) -> None:
        function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
        self.arguments = function.args
        self.vector = ir.VectorType(SCALAR, lanes)
        self._lanes, self._module = lanes, module
        self.build = ir.IRBuilder(function.append_basic_block())

    def number(self, value: float) -> Any:
        """Return a vector of one number."""
        # The text of LLVM has numbers of fp32 exactly.
        exact = struct.unpack("f", struct.pack("f", value))[0]
        return ir.Constant(self.vector, [ir.Constant(SCALAR, exact)] * self._lanes)

    def everywhere(self, value: Any) -> Any:
        """Return a vector of one computed number."""
        vector = ir.Constant(self.vector, ir.Undefined)
        for lane in range(self._lanes):
            vector = self.build.insert_element(vector, value, ir.Constant(ir.IntType(32), lane))
        return vector

    def integers(self, value: int) -> Any:
        """Return a vector of one 32-bit integer."""
        kind = ir.IntType(32)
        return ir.Constant(ir.VectorType(kind, self._lanes), [ir.Constant(kind, value)] * self._lanes)

    def call(self, name: str, *values: Any) -> Any:
        """Call a function of LLVM on numbers or vectors of one type."""
        kind = values[0].type
        full = f"llvm.{name}.v{self._lanes}f32" if kind == self.vector else f"llvm.{name}.f32"
        declared = self._module.globals.get(full)
        if declared is None:
            declared = ir.Function(self._module, ir.FunctionType(kind, [kind] * len(values)), full)
        return self.build.call(declared, values)

    def read(self, memory: Any, index: Any, kind: Any = None) -> Any:
        """Read a vector, or a number of another type, of an array of such."""
        return self.build.load(self._at(memory, index, kind or self.vector), typ=kind or self.vector, align=4)

    def write(self, value: Any, memory: Any, index: Any) -> None:
        """Write a vector or a number to an array of such."""
        self.build.store(value, self._at(memory, index, value.type), align=4)

    def part(self, memory: Any, index: Any, length: Any) -> Any:
        """Return the address of a part of memory, each of `length` fp32 numbers."""
        return self._at(memory, self.build.mul(index, length), SCALAR)

    def variable(self, kind: Any = None) -> Any:
        """Return the address of a variable that is 0, to be used as an array of one."""
        kind = kind or self.vector
        with self.build.goto_entry_block():
            address = self.build.alloca(kind)
        self.build.store(ir.Constant(kind, None), address)
        return address

    @contextmanager
    def loop(self, count: Any) -> Iterator[Any]:
        """Repeat what is built inside; the context is the number of the repetition."""
        at = self.variable(INTEGER)
        test, body, after = (self.build.append_basic_block() for _ in range(3))
        self.build.branch(test)
        self.build.position_at_end(test)
        number = self.build.load(at, typ=INTEGER)
        self.build.cbranch(self.build.icmp_unsigned("<", number, count), body, after)
        self.build.position_at_end(body)
        yield number
        self.build.store(self.build.add(number, ir.Constant(INTEGER, 1)), at)
        self.build.branch(test)
        self.build.position_at_end(after)

    def silu(self, value: Any) -> Any:
        """Return x / (1 + e^-x) of a vector."""
        build = self.build
        power = build.fmul(value, self.number(-LOG2_E))
        power = self.call("minnum", self.call("maxnum", power, self.number(-MOST)), self.number(MOST))
        whole = self.call("rint", power)
        rest = build.fsub(power, whole)
        sum_of_powers = self.number(EXP2[0])
        for coefficient in (*EXP2[1:], 1.0):
            sum_of_powers = self.call("fma", sum_of_powers, rest, self.number(coefficient))
        integers = ir.VectorType(ir.IntType(32), self._lanes)
        exponent = build.shl(build.fptosi(whole, integers), self.integers(MANTISSA_BITS))
        raised = build.bitcast(build.add(build.bitcast(sum_of_powers, integers), exponent), self.vector)
        return build.fdiv(value, build.fadd(raised, self.number(1.0)))

    def finish(self) -> None:
        """End the function."""
        self.build.ret_void()

    def _at(self, memory: Any, index: Any, kind: Any) -> Any:
        return self.build.gep(memory, [index], source_etype=kind)


def _silu(module: ir.Module, lanes: int) -> None:
    """Build the activation of blocks of features, in place."""
    function = _Function(module, "silu", [POINTER, INTEGER, INTEGER, INTEGER], lanes)
    features, blocks, pixels, step = function.arguments
    with function.loop(blocks) as block:
        part = function.part(features, block, step)
        with function.loop(pixels) as pixel:
            function.write(function.silu(function.read(part, pixel)), part, pixel)
    function.finish()


def _group_norm_silu(module: ir.Module, lanes: int) -> None:
    """Build group norm and activation, in place; `factors` and `terms` are of channels and are overwritten."""
    kinds = [POINTER, INTEGER, INTEGER, INTEGER, POINTER, POINTER, POINTER, POINTER, INTEGER, SCALAR]
    function = _Function(module, "group_norm_silu", kinds, lanes)
    features, blocks, pixels, step, weight, bias, factors, terms, groups, epsilon = function.arguments
    build = function.build
    count = build.uitofp(pixels, SCALAR)
    _moments(function, features, (blocks, pixels, step), factors, terms)
    per = build.udiv(build.mul(blocks, ir.Constant(INTEGER, lanes)), groups)
    with function.loop(groups) as group:
        # Of the channels of one group.
        means, squares, weights, biases = (function.part(one, group, per) for one in (factors, terms, weight, bias))
        _normalised(function, (means, squares, weights, biases), per, count, epsilon)
    with function.loop(blocks) as block:
        part = function.part(features, block, step)
        factor, term = function.read(factors, block), function.read(terms, block)
        with function.loop(pixels) as pixel:
            value = function.call("fma", function.read(part, pixel), factor, term)
            function.write(function.silu(value), part, pixel)
    function.finish()


def _moments(function: _Function, features: Any, shape: tuple[Any, Any, Any], means: Any, squares: Any) -> None:
    """Write the mean of each channel, and the sum of the squares of what its pixels differ from it."""
    build, (blocks, pixels, step) = function.build, shape
    # One sum would make each addition wait for the one before.
    sums = [(function.variable(), function.variable()) for _ in range(SUMS)]
    zero, apart = ir.Constant(INTEGER, 0), ir.Constant(INTEGER, SUMS)
    count = function.everywhere(build.uitofp(pixels, SCALAR))
    with function.loop(blocks) as block:
        part = function.part(features, block, step)
        # Sums of differences to one pixel keep their precision where the mean is large.
        first = function.read(part, zero)

        def add(pixel: Any, total: Any, square: Any) -> None:
            off = build.fsub(function.read(part, pixel), first)
            function.write(build.fadd(function.read(total, zero), off), total, zero)
            function.write(function.call("fma", off, off, function.read(square, zero)), square, zero)

        for one in chain.from_iterable(sums):
            function.write(function.number(0.0), one, zero)
        with function.loop(build.udiv(pixels, apart)) as quarter:
            for number, both in enumerate(sums):
                add(build.add(build.mul(quarter, apart), ir.Constant(INTEGER, number)), *both)
        with function.loop(build.urem(pixels, apart)) as pixel:
            add(build.sub(build.sub(pixels, pixel), ir.Constant(INTEGER, 1)), *sums[0])
        total, square = (
            reduce(build.fadd, [function.read(one, zero) for one in each]) for each in zip(*sums, strict=True)
        )
        mean = build.fdiv(total, count)
        function.write(build.fadd(mean, first), means, block)
        function.write(build.fsub(square, build.fmul(total, mean)), squares, block)


def _normalised(function: _Function, arrays: tuple[Any, ...], per: Any, count: Any, epsilon: Any) -> None:
    """Overwrite moments of the channels of a group by the factor and the term that normalise each channel."""
    build, (means, squares, weights, biases) = function.build, arrays
    zero, channels = ir.Constant(INTEGER, 0), build.uitofp(per, SCALAR)
    total, variance = function.variable(SCALAR), function.variable(SCALAR)
    with function.loop(per) as channel:
        added = build.fadd(function.read(total, zero, SCALAR), function.read(means, channel, SCALAR))
        function.write(added, total, zero)
    mean = build.fdiv(function.read(total, zero, SCALAR), channels)
    with function.loop(per) as channel:
        off = build.fsub(function.read(means, channel, SCALAR), mean)
        own = build.fdiv(function.read(squares, channel, SCALAR), count)
        added = build.fadd(function.read(variance, zero, SCALAR), function.call("fma", off, off, own))
        function.write(added, variance, zero)
    variance = build.fdiv(function.read(variance, zero, SCALAR), channels)
    deviation = function.call("sqrt", build.fadd(variance, epsilon))
    with function.loop(per) as channel:
        factor = build.fdiv(function.read(weights, channel, SCALAR), deviation)
        shift = build.fmul(mean, factor)
        function.write(build.fsub(function.read(biases, channel, SCALAR), shift), squares, channel)
        function.write(factor, means, channel)


@lru_cache
def _compiled(lanes: int) -> Any:
    """Return LLVM's engine that has the functions for vectors of so many lanes."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    module = ir.Module()
    for build in (_silu, _group_norm_silu):
        build(module, lanes)
    parsed = llvm.parse_assembly(str(module))
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3
    )
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(parsed, passes)
    engine = llvm.create_mcjit_compiler(parsed, machine)
    engine.finalize_object()
    return engine


@lru_cache
def silu(lanes: int) -> Callable[..., None]:
    """Return the activation in place: (features, blocks, pixels, fp32 numbers from block to block)."""
    size = ctypes.c_int64
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, size, size, size)
    return kind(_compiled(lanes).get_function_address("silu"))


@lru_cache
def group_norm_silu(lanes: int) -> Callable[..., None]:
    """Return group norm and activation in place.

    Arguments: those of `silu`; weight and bias of each channel; two arrays of as many numbers, which are overwritten;
    number of groups; the constant that is added to their variance.
    """
    size, address = ctypes.c_int64, ctypes.c_void_p
    sizes = (address, size, size, size)
    kind = ctypes.CFUNCTYPE(None, *sizes, address, address, address, address, size, ctypes.c_float)
    return kind(_compiled(lanes).get_function_address("group_norm_silu"))
