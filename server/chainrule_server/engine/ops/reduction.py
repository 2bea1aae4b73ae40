"""Sums, maxima and where they are found."""

from collections.abc import Sequence
from functools import partial
from types import EllipsisType
from typing import Any, cast

import numpy as np

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule.ir.expr import Expr, equal, expand, reduce_sum, reshape, where
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import BUFFER_ELEMENTS, refuse_stored
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Bind,
    NoDerivative,
    Op,
    Thunk,
    per_input,
)

Ints = tuple[int, ...]


def _reduce(kernel: np.ufunc) -> Bind:
    def bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
        refuse_stored(ins)
        (x,), axes = ins, _axes(ins[0].ndim, attrs)
        if kernel is np.maximum:
            _refuse_empty(x, axes, out)
        whole = out.reshape(_kept(x.shape, axes))
        # Read forwards: with negative strides NumPy 1.26 drops elements of an integer maximum.
        x = x[_forwards(x, axes)]
        # An explicit dtype: NumPy would sum int32 as int64, through a buffer.
        return partial(kernel.reduce, x, axis=axes, dtype=out.dtype, out=whole, keepdims=True)

    return bind


def _forwards(x: Array, axes: Ints) -> tuple[slice | EllipsisType, ...]:
    back, keep = slice(None, None, -1), slice(None)
    return (*(back if k in axes and s < 0 else keep for k, s in enumerate(x.strides)), ...)


def _refuse_empty(x: Array, axes: Ints, out: Array) -> None:
    if out.size and any(x.shape[axis] == 0 for axis in axes):
        raise ShapeMismatch(
            f"a maximum over the empty axis of {x.shape}",
            code=ErrorCode.EMPTY_REDUCTION,
            cure="it has no value; test the size first",
        )


def _axes(rank: int, attrs: AttrMap) -> Ints:
    return tuple(axis % rank for axis in cast(Ints, attrs["axes"]))


def _kept(shape: tuple[Any, ...], axes: Sequence[int]) -> tuple[Any, ...]:
    """The shape with length 1 along the axes."""
    return tuple(1 if axis in axes else dim for axis, dim in enumerate(shape))


def _workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    # Buffers of the iterator; which reductions need one, and which a second, changes with NumPy's version.
    del out, attrs
    x = inputs[0]
    return (1 if x.flags.c_contiguous else 2) * min(BUFFER_ELEMENTS, x.size) * x.itemsize


def _along(value: Expr, x: Expr, axes: Ints) -> Expr:
    """A result of a reduction of x, with the reduced axes kept as 1."""
    rank = x.aval.rank
    return reshape(value, _kept(x.shape, [axis % rank for axis in axes]))


def _sum_vjp(ct: Expr, out: Expr, x: Expr, *, axes: Ints, keepdims: bool) -> tuple[Expr]:
    # y = sum of x:  x_ct = ct for each of the summands
    del out, keepdims
    return (expand(_along(ct, x, axes), x.shape),)


def _sum_jvp(tangents: tuple[Expr], out: Expr, x: Expr, *, axes: Ints, keepdims: bool) -> Expr:
    del out, x
    return reduce_sum(tangents[0], axes, keepdims)


def _share(v: Expr, out: Expr, x: Expr, axes: Ints) -> tuple[Expr, Expr]:
    """Which elements attain the maximum, and v over their number."""
    # Not differentiable in turn through the mask, and need not be: it is piecewise constant.
    largest = equal(x, _along(out, x, axes))
    ones = where(largest, x.like(1), x.like(0))
    return largest, v / reduce_sum(ones, axes, keepdims=True)


def _max_vjp(ct: Expr, out: Expr, x: Expr, *, axes: Ints, keepdims: bool) -> tuple[Expr]:
    # y = max of x:  x_ct = ct / m for each of the m that attain it, else 0
    del keepdims
    if not axes:
        return (ct,)
    largest, share = _share(_along(ct, x, axes), out, x, axes)
    return (where(largest, share, ct.like(0)),)


def _max_jvp(tangents: tuple[Expr], out: Expr, x: Expr, *, axes: Ints, keepdims: bool) -> Expr:
    # y_t = the mean of x_t over those that attain the maximum
    del keepdims
    (t,) = tangents
    if not axes:
        return t
    largest, weight = _share(t.like(1), out, x, axes)
    summed = reduce_sum(where(largest, t, t.like(0)), axes, keepdims=True) * weight
    return reshape(summed, out.shape)


def _bind_arg_max(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    refuse_stored(ins)
    (x,), axis = ins, cast(int, attrs["axis"]) % ins[0].ndim
    _refuse_empty(x, (axis,), out)
    return partial(np.argmax, x, axis, out)


def _arg_max_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    # NumPy copies, unless the axis is the last of a contiguous array
    del out
    x = inputs[0]
    last = cast(int, attrs["axis"]) % x.ndim == x.ndim - 1
    return 0 if last and x.flags.c_contiguous else x.size * x.itemsize


_INDEX = NoDerivative("an index has no derivative")

REDUCTION = (
    Op(
        "ReduceSum",
        _reduce(np.add),
        _sum_vjp,
        _sum_jvp,
        per_input(),
        _workspace,
        linear=((0,),),
        batching=lanes.shifted("ReduceSum", "axes"),
    ),
    Op(
        "ReduceMax",
        _reduce(np.maximum),
        _max_vjp,
        _max_jvp,
        per_input(),
        _workspace,
        batching=lanes.shifted("ReduceMax", "axes"),
    ),
    Op(
        "ArgMax",
        _bind_arg_max,
        _INDEX,
        _INDEX,
        per_input(),
        _arg_max_workspace,
        batching=lanes.shifted("ArgMax", "axis"),
    ),
)
