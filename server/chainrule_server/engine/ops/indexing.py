"""Rows picked from a table, and the transpose of that: rows added into zeros.

With b leading axes in common, a table (B..., P..., d, S...) and an index (B..., I...) make rows
(B..., P..., I..., S...). Kernels see B, P, I and S as one axis each.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import Any, NamedTuple, cast

import numpy as np

from chainrule.errors import ErrorCode, NumericError
from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Dim
from chainrule.ir.expr import Expr, gather, scatter_add, transpose
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import BUFFER_ELEMENTS, refuse_stored
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Op,
    Tangents,
    Thunk,
    per_element,
    per_input,
)

# Elements that one `add.at` takes: its index array stays in the first cache.
_CHUNK = 2048
# ufunc.at sets up its iterators anew at every call.
_ADD_AT = 8192


class Sizes(NamedTuple):
    """The four kinds of axes, each as one, and the length d of the indexed one."""

    lead: int
    before: int
    d: int
    picked: int
    behind: int


def sizes_of(table: Sequence[int], index: Sequence[int], attrs: AttrMap) -> Sizes:
    """From the shapes of table and index."""
    axis, lead = cast(int, attrs["axis"]) % len(table), cast(int, attrs["batch_dims"])
    return Sizes(
        prod(table[:lead]),
        prod(table[lead:axis]),
        table[axis],
        prod(index[lead:]),
        prod(table[axis + 1 :]),
    )


def _checker(index: Array, size: int) -> Callable[[], None]:
    """A check that every index is in 0 ... size - 1; NumPy's own would cost a copy of the result."""

    def check() -> None:
        if index.size == 0:
            return
        low, high = int(np.minimum.reduce(index, None)), int(np.maximum.reduce(index, None))
        if low < 0 or high >= size:
            worst = low if low < 0 else high
            raise NumericError(
                f"index {worst} is outside the {size} rows of the axis",
                code=ErrorCode.INDEX_RANGE,
                cure=f"give indices from 0 to {size - 1}" if size else "the axis is empty",
                index=worst,
                size=size,
            )

    return check


def _rows(index: Array, s: Sizes) -> Array:
    """For each row of the result the row of the table, both seen as (rows, S): int64 (B, P, I)."""
    block = np.arange(s.lead * s.before, dtype=np.int64).reshape(s.lead, s.before, 1)
    return block * s.d + index.reshape(s.lead, 1, s.picked)


def _rows_bytes(s: Sizes) -> int:
    """What `_rows` allocates: block numbers twice, the result, and the buffers of a broadcast sum."""
    blocks, rows = s.lead * s.before, s.lead * s.before * s.picked
    return 8 * (2 * blocks + rows + 2 * min(BUFFER_ELEMENTS, rows))


def _bind_gather(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    table, index = ins
    s = sizes_of(table.shape, index.shape, attrs)
    check = _checker(index, s.d)
    if not out.size:
        return check
    if cast(int, attrs["batch_dims"]) == 0:
        axis = cast(int, attrs["axis"]) % table.ndim
        # mode="clip", since "raise" writes through a copy of the result; every index is in range by then
        take = partial(np.take, table, index, axis, out, "clip")

        def run() -> None:
            check()
            take()

        return run
    flat_out = out.reshape(-1, s.behind)

    def run_by_example() -> None:
        check()
        rows = table.reshape(s.lead * s.before * s.d, s.behind)
        np.take(rows, _rows(index, s).reshape(-1), 0, flat_out, "clip")

    return run_by_example


def _gather_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del out
    table, index = inputs
    s = sizes_of(table.shape, index.shape, attrs)
    copies = sum(0 if x.flags.c_contiguous else x.size * x.itemsize for x in (table, index))
    if cast(int, attrs["batch_dims"]) == 0:
        return copies
    return copies + _rows_bytes(s)


def _gather_vjp(
    ct: Expr, out: Expr, table: Expr, index: Expr, *, axis: int, batch_dims: int
) -> tuple[Expr | None, ...]:
    # y[.., i, ..] = table[.., index_i, ..]:  table_ct = ct added into the rows it came from
    del out
    axis %= table.aval.rank
    return scatter_add(index, ct, axis, table.shape[axis], batch_dims), None


def _gather_jvp(
    tangents: Tangents, out: Expr, table: Expr, index: Expr, *, axis: int, batch_dims: int
) -> Expr | None:
    del out, table
    return None if tangents[0] is None else gather(tangents[0], index, axis, batch_dims)


def _bind_scatter_add(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    index, updates = ins
    refuse_stored((updates,))
    s = sizes_of(out.shape, index.shape, attrs)
    check = _checker(index, s.d)
    flat_out = out.reshape(-1)

    def run() -> None:
        # In the order of the updates, so the sum of equal indices has one value.
        check()
        out.fill(0)
        if not updates.size or not out.size:
            return
        flat = updates.reshape(-1)
        first = _rows(index, s).reshape(-1)
        first *= s.behind
        inner = np.arange(s.behind, dtype=np.int64)
        step = max(_CHUNK // s.behind, 1)
        for at in range(0, len(first), step):
            place = (first[at : at + step, None] + inner).reshape(-1)
            begin = at * s.behind
            np.add.at(flat_out, place, flat[begin : begin + len(place)])

    return run


def _scatter_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    index, updates = inputs
    s = sizes_of(out.shape, index.shape, attrs)
    copies = sum(0 if x.flags.c_contiguous else x.size * x.itemsize for x in (index, updates))
    # places of a chunk, and the buffers of the sum that gives them
    chunk = s.behind + 3 * max(_CHUNK, s.behind)
    return copies + _rows_bytes(s) + 8 * chunk + _ADD_AT


def _scatter_vjp(
    ct: Expr,
    out: Expr,
    index: Expr,
    updates: Expr,
    *,
    axis: int,
    batch_dims: int,
    size: AttrValue,
) -> tuple[Expr | None, ...]:
    # y[.., index_i, ..] += updates[.., i, ..]:  updates_ct = ct's row index_i
    del out, updates, size
    return None, gather(ct, index, axis, batch_dims)


def _scatter_jvp(
    tangents: Tangents,
    out: Expr,
    index: Expr,
    updates: Expr,
    *,
    axis: int,
    batch_dims: int,
    size: AttrValue,
) -> Expr | None:
    del updates, size
    t = tangents[1]
    return None if t is None else scatter_add(index, t, axis, out.shape[axis], batch_dims)


def _batch_gather(
    size: Dim, batched: Sequence[bool], table: Expr, index: Expr, *, axis: int, batch_dims: int
) -> Expr:
    of_table, of_index = batched
    axis %= table.aval.rank - of_table
    if of_table and of_index:
        return gather(table, index, axis + 1, batch_dims + 1)
    if of_table and not batch_dims:
        return gather(table, index, axis + 1)
    if of_table:
        return gather(table, lanes.in_front(index, size), axis + 1, batch_dims + 1)
    # index (L, B..., I...) as (B..., L, I...): L is one more axis of picked rows, to be brought in front
    picked = gather(table, _front_to(index, batch_dims), axis, batch_dims)
    return _to_front(picked, axis)


def _batch_scatter_add(
    count: Dim, batched: Sequence[bool], index: Expr, updates: Expr, /, **attrs: Any
) -> Expr:
    of_index, of_updates = batched
    axis, lead, (rows,) = attrs["axis"], attrs["batch_dims"], attrs["size"]
    if not of_index:
        # updates (L, B..., P...) as (B..., L, P...): L is one more axis before the rows
        moved = _front_to(updates, lead)
        return _to_front(scatter_add(index, moved, axis + 1, rows, lead), lead)
    if not of_updates:
        updates = lanes.in_front(updates, count)
    return scatter_add(index, updates, axis + 1, rows, lead + 1)


def _front_to(x: Expr, place: int) -> Expr:
    """x with its leading axis put at a place further behind."""
    return transpose(x, (*range(1, place + 1), 0, *range(place + 1, x.aval.rank)))


def _to_front(x: Expr, place: int) -> Expr:
    """The inverse of `_front_to`."""
    return transpose(x, (place, *range(place), *range(place + 1, x.aval.rank)))


INDEXING = (
    Op(
        "Gather",
        _bind_gather,
        _gather_vjp,
        _gather_jvp,
        per_element(),
        _gather_workspace,
        linear=((0,),),
        batching=_batch_gather,
    ),
    Op(
        "ScatterAdd",
        _bind_scatter_add,
        _scatter_vjp,
        _scatter_jvp,
        per_input(1),
        _scatter_workspace,
        linear=((1,),),
        batching=_batch_scatter_add,
    ),
)
