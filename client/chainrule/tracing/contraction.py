"""Products of matrices and tensors, all of them by transposes and MatMul."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.ir.rules import axes_of
from chainrule.tracing.movement import expand_dims, ints, reshape_to, transpose
from chainrule.tracing.operands import as_tracer, emit, together, weakly
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements, implements_ufunc
from chainrule.tracing.tracer import Tracer


def _pair(a: Any, b: Any) -> tuple[Tracer, Tracer, bool]:
    (x, y), weak = together(a, b)
    if x.aval.dtype is DType.BOOL:
        x, y = as_tracer(x, DType.INT64), as_tracer(y, DType.INT64)
    return x, y, weak


@implements_ufunc("matmul")
def matmul(a: Any, b: Any) -> Tracer:
    """a @ b; a vector is a row on the left and a column on the right."""
    x, y, weak = _pair(a, b)
    if not x.ndim or not y.ndim:
        raise refuse("@ with a value without axes", "use * with scalars")
    row, column = x.ndim == 1, y.ndim == 1
    left = expand_dims(x, 0) if row else x
    right = expand_dims(y, 1) if column else y
    out = emit("MatMul", left, right)
    shape = list(out.shape)
    if column:
        del shape[-1]
    if row:
        del shape[-1 if column else -2]
    return weakly(reshape_to(out, shape), weak)


@implements(np.dot)
def dot(a: Any, b: Any, out: None = None) -> Any:
    """np.dot: contracts the last axis of a with the last but one of b."""
    del out
    x, y, _ = _pair(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    if y.ndim <= 2:
        return matmul(x, y)
    return tensordot(x, y, ((x.ndim - 1,), (y.ndim - 2,)))


@implements(np.inner)
def inner(a: Any, b: Any) -> Any:
    """np.inner: contracts the last axes."""
    x, y, _ = _pair(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    return tensordot(x, y, ((x.ndim - 1,), (y.ndim - 1,)))


@implements(np.outer)
def outer(a: Any, b: Any, out: None = None) -> Any:
    """np.outer of the flattened operands."""
    del out
    x, y, _ = _pair(a, b)
    return reshape_to(x, (x.size, 1)) * reshape_to(y, (1, y.size))


@implements(np.vdot)
def vdot(a: Any, b: Any) -> Any:
    """np.vdot of the flattened operands."""
    x, y, _ = _pair(a, b)
    return matmul(reshape_to(x, (x.size,)), reshape_to(y, (y.size,)))


@implements_ufunc("vecdot")
def vecdot(a: Any, b: Any) -> Any:
    """The sum of products along the last axis."""
    return np.sum(np.multiply(a, b), axis=-1)


@implements(np.kron)
def kron(a: Any, b: Any) -> Any:
    """np.kron of two matrices or two vectors."""
    x, y, _ = _pair(a, b)
    if x.ndim != y.ndim:
        raise refuse("np.kron of values of different rank", "reshape one of them")
    left = reshape_to(x, [d for n in x.shape for d in (n, 1)])
    right = reshape_to(y, [d for n in y.shape for d in (1, n)])
    return np.reshape(left * right, [m * n for m, n in zip(x.shape, y.shape, strict=True)])


@implements(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """np.tensordot."""
    x, y, _ = _pair(a, b)
    if isinstance(axes, int):
        left, right = tuple(range(x.ndim - axes, x.ndim)), tuple(range(axes))
    else:
        left, right = axes_of(ints(axes[0]), x.ndim), axes_of(ints(axes[1]), y.ndim)
    free_x = [i for i in range(x.ndim) if i not in left]
    free_y = [i for i in range(y.ndim) if i not in right]
    inside = [x.shape[i] for i in left]
    if inside != [y.shape[i] for i in right]:
        raise refuse(
            f"np.tensordot: axes {left} of {x.shape} and {right} of {y.shape} differ in length",
            "name axes of equal length",
        )
    shape_x, shape_y = [x.shape[i] for i in free_x], [y.shape[i] for i in free_y]
    flat_x = reshape_to(transpose(x, (*free_x, *left)), (prod(shape_x), prod(inside)))
    flat_y = reshape_to(transpose(y, (*right, *free_y)), (prod(inside), prod(shape_y)))
    return reshape_to(matmul(flat_x, flat_y), (*shape_x, *shape_y))


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Sequence[Any]) -> Any:
    """np.linalg.multi_dot, from left to right."""
    out = arrays[0]
    for array in arrays[1:]:
        out = dot(out, array)
    return out


@implements(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """np.trace."""
    return np.sum(diagonal(a, offset, axis1, axis2), axis=-1)


@implements(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """np.diagonal: element k of row k, so that a batch against itself keeps one batch axis."""
    x = as_tracer(a)
    i, j = axes_of((axis1, axis2), x.ndim)
    x = transpose(x, (i, j, *(k for k in range(x.ndim) if k not in (i, j))))
    row, column = max(-offset, 0), max(offset, 0)
    length = max(0, min(x.shape[0] - row, x.shape[1] - column))
    along = np.arange(length)
    square = x[row : row + length, column : column + length]
    return transpose(square[along, along], (*range(1, x.ndim - 1), 0))


@implements(np.diag)
def diag(v: Any, k: int = 0) -> Any:
    """np.diag: the diagonal of a matrix, or the matrix of a diagonal."""
    x = as_tracer(v)
    if x.ndim == 2:
        return diagonal(x, k)
    n = x.size + abs(k)
    wide = np.pad(x, (max(k, 0), max(-k, 0)))
    return np.where(np.eye(n, k=k, dtype=bool), wide, 0)
