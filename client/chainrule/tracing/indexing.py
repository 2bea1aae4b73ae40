"""Indexing by NumPy's rules: basic parts become Slice, Flip and Reshape, integer arrays become Gather."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.ir.rules import axis_of
from chainrule.tracing.elementwise import where
from chainrule.tracing.movement import (
    expand_to,
    flip,
    moveaxis,
    ravel,
    reshape_to,
    slice_axis,
    transpose,
)
from chainrule.tracing.operands import as_tracer, emit, is_tracing, weakly
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements
from chainrule.tracing.tracer import Tracer

Index = Tracer | np.ndarray[Any, np.dtype[Any]]


def getitem(x: Tracer, index: Any) -> Tracer:
    """x[index]."""
    items = _normal(x, index)
    arrays = [i for i in items if isinstance(i, np.ndarray | Tracer)]
    if arrays:
        # An int beside index arrays is one of them: it decides where their axes go.
        items = [np.asarray(i) if isinstance(i, int) else i for i in items]
    axis = 0
    shape: list[int] = []
    places: list[int] = []
    chosen: list[Index] = []
    last = -2
    adjacent = True
    for position, item in enumerate(items):
        if item is None:
            shape.append(1)
            continue
        length = x.shape[axis]
        if isinstance(item, slice):
            x = _slice(x, axis, item)
            shape.append(x.shape[axis])
        elif isinstance(item, int):
            at = _wrap_int(item, length, axis)
            x = slice_axis(x, axis, at, at + 1)
        else:
            places.append(len(shape))
            shape.append(length)
            chosen.append(_wrap(item, length, axis))
            adjacent = adjacent and (last in (-2, position - 1))
            last = position
        axis += 1
    x = reshape_to(x, shape)
    return _take(x, places, chosen, adjacent) if chosen else x


def _normal(x: Tracer, index: Any) -> list[Any]:
    """One entry an axis of x, and None for new ones; the ellipsis is filled in."""
    items: list[Any] = []
    for item in index if isinstance(index, tuple) else (index,):
        items += _entry(item)
    used = sum(i is not None and i is not Ellipsis for i in items)
    dots = [k for k, i in enumerate(items) if i is Ellipsis]
    if used > x.ndim or len(dots) > 1:
        raise refuse(
            f"{used} indices for {x.ndim} axes", "give one index an axis, and one ellipsis"
        )
    at = dots[0] if dots else len(items)
    return [*items[:at], *[slice(None)] * (x.ndim - used), *items[at + 1 :]]


def _entry(item: Any) -> list[Any]:
    if item is None or item is Ellipsis or isinstance(item, slice):
        return [item]
    if isinstance(item, bool | np.bool_):
        raise refuse("a bool as an index can't be traced", "use np.where(mask, a, b)")
    if isinstance(item, int | np.integer):
        return [int(item)]
    if isinstance(item, Tracer):
        if item.aval.dtype is DType.BOOL:
            raise refuse(
                "a boolean mask as an index can't be traced: the number of hits is not known",
                "use np.where(mask, a, 0), and divide sums by np.sum(mask)",
            )
        if not item.aval.dtype.is_integer:
            raise refuse(f"an index of dtype {item.dtype}", "cast it with .astype(np.int64)")
        return [item]
    array = np.asarray(item)
    if array.dtype == object and isinstance(item, Sequence):
        raise refuse("a list of traced values as an index", "join them with np.stack")
    if array.dtype == bool:
        return list(np.nonzero(array))
    if not array.size:
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu":
        raise refuse(f"an index of dtype {array.dtype}", "index with integers")
    return [array.astype(np.int64)]


def _wrap_int(item: int, length: int, axis: int) -> int:
    if not -length <= item < length:
        raise refuse(
            f"index {item} is outside axis {axis} of length {length}",
            f"give an index from {-length} to {length - 1}",
        )
    return item % length


def _wrap(item: Index, length: int, axis: int) -> Index:
    """Negative indices count from the end, as in NumPy."""
    if isinstance(item, np.ndarray):
        if item.size and not -length <= item.min() <= item.max() < length:
            raise refuse(
                f"an index from {item.min()} to {item.max()} is outside axis {axis} of {length}",
                f"give indices from {-length} to {length - 1}",
            )
        return np.where(item < 0, item + length, item)
    if item.aval.dtype in (DType.UINT32, DType.UINT8):
        return as_tracer(item, DType.INT64)
    op = item.tape.rows[item.row].op
    if op in ("ArgMax", "Iota"):
        return item
    index = as_tracer(item, DType.INT64)
    return where(index < 0, index + length, index)


def _slice(x: Tracer, axis: int, item: slice) -> Tracer:
    if is_tracing(item.start, item.stop, item.step):
        raise refuse(
            "a slice with a traced bound can't be traced: its length is not fixed",
            "index with an integer array of fixed length, x[t + np.arange(k)]",
        )
    start, stop, step = item.indices(x.shape[axis])
    if step > 0:
        return slice_axis(x, axis, start, max(start, stop), step)
    # x[start:stop:-s] is x[low:start + 1:s] reversed, low being the last element it reaches.
    count = max(0, (start - stop - step - 1) // -step)
    if not count:
        return slice_axis(x, axis, 0, 0)
    low = start + (count - 1) * step
    return flip(slice_axis(x, axis, low, start + 1, -step), axis)


def _take(x: Tracer, places: list[int], chosen: list[Index], adjacent: bool) -> Tracer:
    """Gather along the axes `places` with broadcast indices; the result's axes go where NumPy puts them."""
    shape = np.broadcast_shapes(*(np.shape(i) for i in chosen))
    rest = [i for i in range(x.ndim) if i not in places]
    x = transpose(x, (*places, *rest))
    lead = _leading(x, chosen, shape)
    if lead == len(chosen) == len(shape):
        out = x  # every element in its place
    else:
        lead = min(lead, len(chosen) - 1)
        dims = x.shape[lead : len(chosen)]
        table = reshape_to(x, (*x.shape[:lead], prod(dims), *x.shape[len(chosen) :]))
        index = as_tracer(_flat_index(chosen[lead:], dims, shape), DType.INT64)
        out = weakly(emit("Gather", table, index, axis=lead, batch_dims=lead), x.weak)
    if not adjacent or places[0] == 0:
        return out
    # The index axes stand in front; they belong where the first indexed axis was.
    before = [i for i in rest if i < places[0]]
    n = len(shape)
    perm = [n + k for k in range(len(before))], [n + k for k in range(len(before), len(rest))]
    return transpose(out, (*perm[0], *range(n), *perm[1]))


def _leading(x: Tracer, chosen: list[Index], shape: tuple[int, ...]) -> int:
    """How many leading indices are np.arange along their own axis, as in a[np.arange(n), y]."""
    count = 0
    for axis, index in enumerate(chosen):
        if axis >= len(shape) or isinstance(index, Tracer) or shape[axis] != x.shape[axis]:
            break
        along = np.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1))
        if not np.array_equal(np.broadcast_to(index, shape), np.broadcast_to(along, shape)):
            break
        count += 1
    return count


def _flat_index(chosen: list[Index], dims: tuple[int, ...], shape: tuple[int, ...]) -> Any:
    """The number of an element among dims in C order, broadcast to shape."""
    flat: Any = chosen[0]
    for index, length in zip(chosen[1:], dims[1:], strict=True):
        flat = flat * length + index
    return np.broadcast_to(flat, shape)


@implements(np.take)
def take(
    a: Any, indices: Any, axis: int | None = None, out: None = None, mode: str = "raise"
) -> Any:
    """np.take."""
    del out
    if mode != "raise":
        raise refuse(f"np.take in mode {mode!r} can't be traced", "np.clip the indices before")
    x = ravel(a) if axis is None else as_tracer(a)
    i = axis_of(axis or 0, x.ndim)
    index = indices if isinstance(indices, Tracer) else np.asarray(indices)
    return getitem(x, (*(slice(None),) * i, index))


@implements(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """np.take_along_axis: a Gather whose batch axes are all the others."""
    x, index = as_tracer(arr), as_tracer(indices)
    if axis is None:
        x, axis = ravel(x), 0
    i = axis_of(axis, x.ndim)
    table, picked = moveaxis(x, i, -1), moveaxis(index, i, -1)
    lead = np.broadcast_shapes(table.shape[:-1], picked.shape[:-1])
    table = expand_to(table, (*lead, table.shape[-1]))
    picked = expand_to(picked, (*lead, picked.shape[-1]))
    wrapped = as_tracer(_wrap(picked, table.shape[-1], i), DType.INT64)
    out = emit("Gather", table, wrapped, axis=x.ndim - 1, batch_dims=x.ndim - 1)
    return moveaxis(weakly(out, x.weak), -1, i)


@implements(np.diff)
def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """np.diff: neighbours subtracted, n times."""
    if prepend is not None or append is not None:
        raise refuse("np.diff with prepend or append can't be traced", "np.concatenate before")
    x = as_tracer(a)
    i = axis_of(axis, x.ndim)
    for _ in range(n):
        length = x.shape[i]
        x = slice_axis(x, i, 1, max(length, 1)) - slice_axis(x, i, 0, max(length - 1, 0))
    return x
