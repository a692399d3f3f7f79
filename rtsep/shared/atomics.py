"""Ordered loads and stores of single fields, and the fence, for Python and for compiled code alike.

Processes that share memory without locks need two promises which plain array indexing does not give:
the compiler must not merge, split or move the access, and the processor must not reorder it. x86 keeps
the order of loads and of stores by itself and forgives their absence; ARM does not.

* `load_*` is an *acquire*: nothing after it in program order is done before it.
* `store_*` is a *release*: nothing before it in program order is done after it.
* `fence` orders everything on both sides. A release store does not stop *later* stores from overtaking
  it and an acquire load does not stop *earlier* loads from falling behind it; the two places of a seqlock
  that need exactly this (writer: after "I am about to change it"; reader: before "was it changed?") use the fence.
"""

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.np.arrayobj import populate_array

from rtsep.shared.compiled import FLOAT32_LINE, FLOAT32_ROWS, FLOAT64_LINE, INT64_LINE, kernel

# Called without its first parameter, the typing context, which type checkers cannot know.
intrinsic: Any = extending.intrinsic


@intrinsic
def _fence(typingctx):
    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def _load(typingctx, array, index):
    def codegen(context, builder, signature, args):
        source = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.gep(source.data, [args[1]])
        return builder.load_atomic(address, ordering="acquire", align=signature.args[0].dtype.bitwidth // 8)

    return array.dtype(array, types.intp), codegen


@intrinsic
def _store(typingctx, array, index, value):
    def codegen(context, builder, signature, args):
        target = context.make_array(signature.args[0])(context, builder, args[0])
        address = builder.gep(target.data, [args[1]])
        builder.store_atomic(args[2], address, ordering="release", align=signature.args[0].dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, array.dtype), codegen


def _array_at(array_type, context, builder, address, shape):
    """Emit an array of `shape` over the memory at `address`; it owns nothing and nobody counts it."""
    array = context.make_array(array_type)(context, builder)
    itemsize = array_type.dtype.bitwidth // 8
    strides = [ir.Constant(ir.IntType(64), itemsize)]
    if len(shape) == 2:
        strides.insert(0, builder.mul(shape[1], strides[0]))
    data = builder.inttoptr(address, array.data.type)
    populate_array(array, data, shape, strides, ir.Constant(ir.IntType(64), itemsize), None)
    return array._getvalue()


@intrinsic
def int64_at(typingctx, address, count):
    """View `count` int64 fields at an integer address: int64 (count,)."""

    def codegen(context, builder, signature, args):
        return _array_at(signature.return_type, context, builder, args[0], [args[1]])

    return INT64_LINE(types.int64, types.int64), codegen


@intrinsic
def float64_at(typingctx, address, count):
    """View `count` doubles at an integer address: float64 (count,)."""

    def codegen(context, builder, signature, args):
        return _array_at(signature.return_type, context, builder, args[0], [args[1]])

    return FLOAT64_LINE(types.int64, types.int64), codegen


@intrinsic
def float32_at(typingctx, address, rows, columns):
    """View floats at an integer address: float32 (rows, columns), C-contiguous."""

    def codegen(context, builder, signature, args):
        return _array_at(signature.return_type, context, builder, args[0], [args[1], args[2]])

    return FLOAT32_ROWS(types.int64, types.int64, types.int64), codegen


@intrinsic
def address_from_pointer(typingctx, pointer):
    """Turn a ``void *`` argument of a C callback into an integer address."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], ir.IntType(64))

    return types.int64(types.voidptr), codegen


@kernel(types.void())
def fence() -> None:
    """Order all memory accesses before this point against all after it (sequentially consistent)."""
    _fence()


@kernel(types.int64(INT64_LINE, types.intp))
def load_i64(fields, index):
    """Return ``fields[index]`` (acquire)."""
    return _load(fields, index)


@kernel(types.void(INT64_LINE, types.intp, types.int64))
def store_i64(fields, index, value):
    """Set ``fields[index] = value`` (release)."""
    _store(fields, index, value)


@kernel(types.float32(FLOAT32_LINE, types.intp))
def load_f32(fields, index):
    """Return ``fields[index]`` (acquire)."""
    return _load(fields, index)


@kernel(types.void(FLOAT32_LINE, types.intp, types.float32))
def store_f32(fields, index, value):
    """Set ``fields[index] = value`` (release)."""
    _store(fields, index, value)
