"""Ops along one axis whose result at a place depends on the others: order, and running sums."""

from functools import partial
from typing import cast

import numpy as np

from chainrule.ir.expr import Expr, cum_sum
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import BUFFER_ELEMENTS, TRANSCENDENTAL, refuse_stored
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    NoDerivative,
    Op,
    Thunk,
    per_element,
    per_input,
)


def _bind_arg_sort(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    refuse_stored(ins)
    (x,), axis = ins, cast(int, attrs["axis"])

    def run() -> None:
        # stable: the order of equal elements is part of the result; NumPy puts NaN last
        np.copyto(out, np.argsort(x, axis, "stable"))

    return run


def _arg_sort_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    # the indices, a line of the axis with its indices, and the room that merging or counting takes
    x = inputs[0]
    line = x.shape[cast(int, attrs["axis"])] if x.ndim else 0
    return out.nbytes + line * (2 * x.itemsize + 16) + 4096


def _bind_cum_sum(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    refuse_stored(ins)
    (x,), axis = ins, cast(int, attrs["axis"]) % out.ndim
    y = out
    if attrs["reverse"]:
        x, y = np.flip(x, axis), np.flip(y, axis)
    if not attrs["exclusive"]:
        return partial(np.add.accumulate, x, axis, out.dtype, y)
    before, n = (slice(None),) * axis, x.shape[axis]
    first, behind = y[(*before, slice(0, 1))], y[(*before, slice(1, None))]
    shorter = x[(*before, slice(0, max(n - 1, 0)))]

    def run() -> None:
        first.fill(0)
        np.add.accumulate(shorter, axis, out.dtype, behind)

    return run


def _cum_sum_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    # buffers of the iterator, which differ between NumPy's versions
    del attrs, out
    return 2 * min(BUFFER_ELEMENTS, inputs[0].size) * inputs[0].itemsize


def _cum_sum_vjp(
    ct: Expr, out: Expr, x: Expr, *, axis: int, reverse: bool, exclusive: bool
) -> tuple[Expr]:
    # y_i = sum of x_j for j <= i (j < i):  x_ct_j = sum of ct_i for i >= j (i > j)
    del out, x
    return (cum_sum(ct, axis, not reverse, exclusive),)


def _cum_sum_jvp(
    tangents: tuple[Expr], out: Expr, x: Expr, *, axis: int, reverse: bool, exclusive: bool
) -> Expr:
    del out, x
    return cum_sum(tangents[0], axis, reverse, exclusive)


_INDEX = NoDerivative("an index has no derivative")

ORDER = (
    Op(
        "ArgSort",
        _bind_arg_sort,
        _INDEX,
        _INDEX,
        # some ten comparisons an element
        per_element(TRANSCENDENTAL),
        _arg_sort_workspace,
        batching=lanes.shifted("ArgSort", "axis"),
    ),
    Op(
        "CumSum",
        _bind_cum_sum,
        _cum_sum_vjp,
        _cum_sum_jvp,
        per_input(),
        _cum_sum_workspace,
        linear=((0,),),
        batching=lanes.shifted("CumSum", "axis"),
    ),
)
