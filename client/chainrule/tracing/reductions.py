"""Reductions: sums, means, extremes and what is made of them; axis and keepdims everywhere."""

from math import prod as product
from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.ir.rules import axes_of
from chainrule.tracing.elementwise import absolute, number, real, truth
from chainrule.tracing.elementwise import where as choose
from chainrule.tracing.movement import concatenate, expand_to, ints, ravel, reshape_to, slice_axis
from chainrule.tracing.operands import as_tracer, emit, weakly
from chainrule.tracing.promotion import dtype_of
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements, implements_reduction
from chainrule.tracing.tracer import Tracer

_MISSING: Any = getattr(np, "_NoValue", None)


def _axes(x: Tracer, axis: Any) -> tuple[int, ...]:
    return tuple(range(x.ndim)) if axis is None else axes_of(ints(axis), x.ndim)


def _keep(keepdims: Any) -> bool:
    return bool(keepdims) and keepdims is not _MISSING


def _reduce(op: str, x: Tracer, axes: tuple[int, ...], keepdims: bool) -> Tracer:
    if not axes:
        return x
    return weakly(emit(op, x, axes=axes, keepdims=keepdims), x.weak)


def _masked(x: Tracer, mask: Any, fill: Any) -> Tracer:
    return x if mask is True or mask is _MISSING else choose(mask, x, fill)


@implements(np.sum)
def sum_(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = False,
    initial: Any = _MISSING,
    where: Any = True,
) -> Any:
    """np.sum; bools and small integers add up in int64."""
    del out
    x = as_tracer(a) if dtype is None else as_tracer(a, dtype_of(dtype))
    if dtype is None and not x.aval.dtype.is_float:
        x = as_tracer(x, DType.INT64)
    x = _masked(x, where, 0)
    total = _reduce("ReduceSum", x, _axes(x, axis), _keep(keepdims))
    return total if initial is _MISSING or initial is None else total + initial


@implements_reduction("add")
def add_reduce(
    a: Any, axis: Any = 0, dtype: Any = None, keepdims: Any = False, **options: Any
) -> Any:
    """np.add.reduce."""
    return sum_(a, axis, dtype, None, keepdims, **options)


@implements(np.mean)
def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: Any = False,
    *,
    where: Any = True,
) -> Any:
    """np.mean: the sum over the number of elements; integers give float64."""
    del out
    x = real(a) if dtype is None else as_tracer(a, dtype_of(dtype))
    axes = _axes(x, axis)
    total = sum_(x, axes, keepdims=keepdims, where=where)
    if where is True or where is _MISSING:
        return total / product(x.shape[i] for i in axes)
    counted = np.broadcast_to(truth(where), x.shape)
    return total / sum_(counted, axes, keepdims=keepdims)


@implements(np.average)
def average(a: Any, axis: Any = None, weights: Any = None, *, keepdims: Any = False) -> Any:
    """np.average: sum(w a) / sum(w)."""
    if weights is None:
        return mean(a, axis, keepdims=keepdims)
    x, w = real(a), real(weights)
    if w.shape != x.shape:
        if axis is None or w.ndim != 1:
            raise refuse("weights of another shape than the array", "broadcast them first")
        i = axes_of(ints(axis), x.ndim)[0]
        w = reshape_to(w, [d if j == i else 1 for j, d in enumerate(x.shape)])
        w = expand_to(w, x.shape)
    return sum_(x * w, axis, keepdims=keepdims) / sum_(w, axis, keepdims=keepdims)


@implements(np.var)
def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    correction: Any = _MISSING,
) -> Any:
    """np.var: mean of the squared distances from the mean, over count - ddof."""
    del out
    x = real(a) if dtype is None else as_tracer(a, dtype_of(dtype))
    axes = _axes(x, axis)
    squares = (x - mean(x, axes, keepdims=True)) ** 2
    ddof = ddof if correction is _MISSING else correction
    return sum_(squares, axes, keepdims=keepdims) / (product(x.shape[i] for i in axes) - ddof)


@implements(np.std)
def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: Any = 0,
    keepdims: Any = False,
    *,
    correction: Any = _MISSING,
) -> Any:
    """np.std: the root of the variance."""
    return np.sqrt(var(a, axis, dtype, out, ddof, keepdims, correction=correction))


@implements(np.max, np.amax)
def max_(
    a: Any,
    axis: Any = None,
    out: None = None,
    keepdims: Any = False,
    initial: Any = _MISSING,
    where: Any = True,
) -> Any:
    """np.max; ties share the derivative equally."""
    del out
    if where is not True and where is not _MISSING:
        if initial is _MISSING:
            raise refuse("np.max with where= needs initial=", "give the value of an empty maximum")
        a = choose(where, a, initial)
    x = as_tracer(a)
    if x.aval.dtype is DType.BOOL:
        return any_(x, axis, keepdims=keepdims)
    largest = _reduce("ReduceMax", x, _axes(x, axis), _keep(keepdims))
    return largest if initial is _MISSING else np.maximum(largest, initial)


@implements(np.min, np.amin)
def min_(
    a: Any,
    axis: Any = None,
    out: None = None,
    keepdims: Any = False,
    initial: Any = _MISSING,
) -> Any:
    """np.min = -max(-x)."""
    del out
    x = as_tracer(a)
    if x.aval.dtype is DType.BOOL:
        return all_(x, axis, keepdims=keepdims)
    if x.aval.dtype in (DType.UINT32, DType.UINT8):
        # -x wraps around for unsigned integers.
        return as_tracer(min_(as_tracer(x, DType.INT64), axis, keepdims=keepdims), x.aval.dtype)
    smallest = -_reduce("ReduceMax", -x, _axes(x, axis), _keep(keepdims))
    return smallest if initial is _MISSING else np.minimum(smallest, initial)


@implements(np.ptp)
def ptp(a: Any, axis: Any = None, out: None = None, keepdims: Any = False) -> Any:
    """np.ptp: largest minus smallest."""
    del out
    return max_(a, axis, keepdims=keepdims) - min_(a, axis, keepdims=keepdims)


@implements_reduction("maximum")
def maximum_reduce(a: Any, axis: Any = 0, keepdims: Any = False) -> Any:
    """np.maximum.reduce."""
    return max_(a, axis, keepdims=keepdims)


@implements_reduction("minimum")
def minimum_reduce(a: Any, axis: Any = 0, keepdims: Any = False) -> Any:
    """np.minimum.reduce."""
    return min_(a, axis, keepdims=keepdims)


@implements(np.any)
def any_(a: Any, axis: Any = None, out: None = None, keepdims: Any = False) -> Any:
    """np.any."""
    del out
    x = as_tracer(truth(a), DType.INT64)
    return truth(_reduce("ReduceSum", x, _axes(x, axis), _keep(keepdims)))


@implements(np.all)
def all_(a: Any, axis: Any = None, out: None = None, keepdims: Any = False) -> Any:
    """np.all: none is false."""
    return np.logical_not(any_(np.logical_not(truth(a)), axis, out, keepdims))


@implements_reduction("logical_or", "bitwise_or")
def or_reduce(a: Any, axis: Any = 0, keepdims: Any = False) -> Any:
    """np.logical_or.reduce."""
    return any_(a, axis, keepdims=keepdims)


@implements_reduction("logical_and", "bitwise_and")
def and_reduce(a: Any, axis: Any = 0, keepdims: Any = False) -> Any:
    """np.logical_and.reduce."""
    return all_(a, axis, keepdims=keepdims)


@implements(np.count_nonzero)
def count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    """np.count_nonzero."""
    return sum_(truth(a), axis, keepdims=keepdims)


@implements(np.prod)
def prod(
    a: Any, axis: Any = None, dtype: Any = None, out: None = None, keepdims: Any = False
) -> Any:
    """np.prod over static axes, as a tree of products: right at zeros, where exp(sum(log)) is not."""
    del out
    x = number(a) if dtype is None else as_tracer(a, dtype_of(dtype))
    axes = _axes(x, axis)
    for i in axes:
        length = x.shape[i]
        if x.tape.n is not None and length and length % x.tape.n == 0:
            raise refuse("a product over the batch can't be traced", "sum logarithms instead")
        if not length:
            raise refuse("a product over an empty axis can't be traced", "test the size first")
        while (length := x.shape[i]) > 1:
            half = length // 2
            pairs = slice_axis(x, i, 0, half) * slice_axis(x, i, half, 2 * half)
            rest = [slice_axis(x, i, 2 * half, length)] if length % 2 else []
            x = concatenate([pairs, *rest], i) if rest else pairs
    if _keep(keepdims):
        return x
    return reshape_to(x, [d for i, d in enumerate(x.shape) if i not in axes])


@implements_reduction("multiply")
def multiply_reduce(a: Any, axis: Any = 0, dtype: Any = None, keepdims: Any = False) -> Any:
    """np.multiply.reduce."""
    return prod(a, axis, dtype, None, keepdims)


@implements(np.argmax)
def argmax(a: Any, axis: Any = None, out: None = None, *, keepdims: Any = False) -> Any:
    """np.argmax: the first of the largest."""
    del out
    x = ravel(number(a)) if axis is None else number(a)
    rank = np.ndim(a)
    i = axes_of((0 if axis is None else axis,), x.ndim)[0]
    best = emit("ArgMax", x, axis=i)
    if not _keep(keepdims):
        return best
    shape = (
        (1,) * rank if axis is None else tuple(1 if j == i else d for j, d in enumerate(x.shape))
    )
    return reshape_to(best, shape)


@implements(np.argmin)
def argmin(a: Any, axis: Any = None, out: None = None, *, keepdims: Any = False) -> Any:
    """np.argmin = argmax(-x)."""
    return argmax(-number(a), axis, out, keepdims=keepdims)


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Any:
    """np.linalg.norm: of vectors for ord 1, 2, inf; of matrices for None and "fro"."""
    value = real(x)
    axes = _axes(value, axis)
    vector = len(axes) == 1 or (axis is None and ord is None)
    if ord is None or (ord == 2 and vector) or (ord == "fro" and len(axes) == 2):
        return np.sqrt(sum_(value**2, axes, keepdims=keepdims))
    if ord == 1 and vector:
        return sum_(absolute(value), axes, keepdims=keepdims)
    if ord == np.inf and vector:
        return max_(absolute(value), axes, keepdims=keepdims)
    raise refuse(
        f"np.linalg.norm with ord={ord!r} over {len(axes)} axes can't be traced", "use ord=2"
    )
