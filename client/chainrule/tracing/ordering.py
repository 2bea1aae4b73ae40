"""Functions along an axis whose result depends on order: sorting, running sums and products, quantiles."""

from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.ir.rules import axis_of
from chainrule.tracing.elementwise import number, real
from chainrule.tracing.indexing import take_along_axis
from chainrule.tracing.movement import concatenate, flip, ravel, slice_axis
from chainrule.tracing.operands import as_tracer, emit, weakly
from chainrule.tracing.promotion import dtype_of
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements
from chainrule.tracing.tracer import Tracer


@implements(np.argsort)
def argsort(
    a: Any, axis: int | None = -1, kind: Any = None, order: None = None, *, stable: Any = None
) -> Any:
    """np.argsort, stable, NaN last."""
    del kind, order, stable
    x, i = _along(number(a), axis)
    return emit("ArgSort", x, axis=i)


@implements(np.sort)
def sort(
    a: Any, axis: int | None = -1, kind: Any = None, order: None = None, *, stable: Any = None
) -> Any:
    """np.sort: elements taken in the order of argsort, so a cotangent goes back to where each came from."""
    del kind, order, stable
    x, i = _along(number(a), axis)
    return take_along_axis(x, emit("ArgSort", x, axis=i), i)


@implements(np.cumsum)
def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """np.cumsum; bools and small integers add up in int64."""
    del out
    x = as_tracer(a) if dtype is None else as_tracer(a, dtype_of(dtype))
    if dtype is None and not x.aval.dtype.is_float:
        x = as_tracer(x, DType.INT64)
    x, i = _along(x, axis)
    return weakly(emit("CumSum", x, axis=i), x.weak)


@implements(np.cumprod)
def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """np.cumprod in log2(n) products of the whole axis: right at zeros, where exp(cumsum(log)) is not."""
    del out
    x = number(a) if dtype is None else as_tracer(a, dtype_of(dtype))
    x, i = _along(x, axis)
    length, shift = x.shape[i], 1
    _refuse_batch(x, i, "a running product")
    while shift < length:
        # Each element takes in the product of the `shift` elements before its own.
        moved = slice_axis(x, i, shift, length) * slice_axis(x, i, 0, length - shift)
        x = concatenate([slice_axis(x, i, 0, shift), moved], i)
        shift *= 2
    return x


for _name, _function in (("cumulative_sum", cumsum), ("cumulative_prod", cumprod)):
    if hasattr(np, _name):

        def _cumulative(
            x: Any, /, *, axis: Any = None, dtype: Any = None, _f: Any = _function
        ) -> Any:
            if axis is None and np.ndim(x) != 1:
                raise refuse("a running sum of several axes", "give axis=")
            return _f(x, 0 if axis is None else axis, dtype)

        implements(getattr(np, _name))(_cumulative)


@implements(np.median)
def median(a: Any, axis: Any = None, out: None = None, *, keepdims: Any = False) -> Any:
    """np.median: of an even number of elements the mean of the middle two."""
    del out
    return quantile(a, 0.5, axis, keepdims=keepdims)


@implements(np.percentile)
def percentile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False
) -> Any:
    """np.percentile: q in hundredths."""
    return quantile(a, np.asarray(q) / 100.0, axis, method=method, keepdims=keepdims)


@implements(np.quantile)
def quantile(
    a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: Any = False
) -> Any:
    """np.quantile by linear interpolation between sorted elements; q is static."""
    if method != "linear":
        raise refuse(f"np.quantile by method {method!r} can't be traced", 'use "linear"')
    if isinstance(q, Tracer):
        raise refuse("np.quantile at a traced q", "give q as a number")
    x: Any = real(a)
    axes = tuple(range(x.ndim)) if axis is None else axis
    axes = tuple(k % x.ndim for k in (axes if isinstance(axes, tuple) else (axes,)))
    kept = [d for k, d in enumerate(x.shape) if k not in axes]
    moved = np.moveaxis(x, axes, range(-len(axes), 0))
    flat = np.reshape(moved, (*kept, -1))
    _refuse_batch(flat, len(kept), "a quantile")
    place = np.asarray(q, np.float64) * (flat.shape[-1] - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, flat.shape[-1] - 1)
    ordered = sort(flat, -1)
    weight = (place - low).astype(x.dtype)
    below, above = ordered[..., low], ordered[..., high]
    found = below + (above - below) * weight
    found = np.moveaxis(found, range(-place.ndim, 0), range(place.ndim)) if place.ndim else found
    return np.expand_dims(found, tuple(place.ndim + k for k in axes)) if keepdims else found


def top_k(x: Any, k: int, axis: int = -1) -> tuple[Any, Any]:
    """The k largest elements along an axis, largest first, and where they stand; ties by the later place."""
    value, i = _along(number(x), axis)
    if not 1 <= k <= value.shape[i]:
        raise refuse(f"the top {k} of {value.shape[i]}", "give k from 1 to the length of the axis")
    length = value.shape[i]
    order = flip(slice_axis(emit("ArgSort", value, axis=i), i, length - k, length), i)
    return take_along_axis(value, order, i), order


def _along(x: Tracer, axis: int | None) -> tuple[Tracer, int]:
    if axis is None:
        return ravel(x), 0
    return x, axis_of(axis, x.ndim)


def _refuse_batch(x: Any, axis: int, what: str) -> None:
    n = x.tape.n
    if n is not None and x.shape[axis] and x.shape[axis] % n == 0:
        raise refuse(
            f"{what} along the batch can't be traced: its length is not fixed",
            "compute it along another axis",
        )
