"""Sliding windows and their transpose: what convolutions and pooling are made of.

Unfold   y[..., o, ..., w] = x[..., o stride + w dilation, ...]          a view: nothing is moved
Fold     x[..., i, ...] = sum of y[..., o, ..., w] over o stride + w dilation = i
"""

from collections.abc import Iterator
from functools import partial
from itertools import product
from math import prod
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import as_strided

from chainrule.ir.expr import Expr, apply
from chainrule.ir.windows import windows_of
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import BUFFER_ELEMENTS, refuse_stored
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Op,
    Thunk,
    no_cost,
    no_workspace,
    per_input,
)

Ints = tuple[int, ...]
Box = tuple[slice, ...]


def _view_unfold(x: Array, attrs: AttrMap, shape: Ints) -> Array:
    axes, _, strides, dilations = windows_of(attrs, x.ndim)
    steps = list(x.strides)
    within = []
    for axis, stride, dilation in zip(axes, strides, dilations, strict=True):
        within.append(steps[axis] * dilation)
        steps[axis] *= stride
    return as_strided(x, shape, (*steps, *within), writeable=False)


def _bind_fold(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    refuse_stored(ins)
    (x,) = ins
    if not x.size:
        return partial(out.fill, 0)
    pairs = list(_pieces(x, out, attrs))

    def run() -> None:
        # in a fixed order, so that a sum of several windows has one value
        out.fill(0)
        for place, piece in pairs:
            np.add(place, piece, place)

    return run


def _pieces(x: Array, out: Array, attrs: AttrMap) -> Iterator[tuple[Array, Array]]:
    """Parts of the output that no window meets twice, each with what is added to it.

    One part an element of the window, or one a window, whichever are fewer.
    """
    axes, sizes, strides, dilations = windows_of(attrs, out.ndim)
    counts = tuple(x.shape[axis] for axis in axes)
    by_element = prod(sizes) <= prod(counts)
    for at in product(*map(range, sizes if by_element else counts)):
        place: list[slice] = [slice(None)] * out.ndim
        piece: list[Any] = [slice(None)] * x.ndim
        for k, axis in enumerate(axes):
            n, step, start = (
                (counts[k], strides[k], at[k] * dilations[k])
                if by_element
                else (sizes[k], dilations[k], at[k] * strides[k])
            )
            place[axis] = slice(start, start + (n - 1) * step + 1, step)
            piece[out.ndim + k if by_element else axis] = at[k]
        part = x[tuple(piece)]
        if not by_element:
            # the elements of the window go where its axes were, which are gone
            part = np.moveaxis(part, range(out.ndim - len(axes), out.ndim), axes)
        yield out[tuple(place)], part


def _fold_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del attrs
    return 3 * min(BUFFER_ELEMENTS, inputs[0].size) * out.itemsize


def _unfold_vjp(ct: Expr, out: Expr, x: Expr, *, axes: Ints, **window: Any) -> tuple[Expr]:
    # y = windows of x:  x_ct = every element of every window added to the place it comes from
    del out
    lengths = tuple(cast(int, x.shape[axis % x.aval.rank]) for axis in axes)
    return (apply("Fold", ct, axes=_counted(axes, x), lengths=lengths, **window),)


def _unfold_jvp(tangents: tuple[Expr], out: Expr, x: Expr, **window: Any) -> Expr:
    del out, x
    return apply("Unfold", tangents[0], **window)


def _fold_vjp(ct: Expr, out: Expr, x: Expr, *, lengths: Ints, **window: Any) -> tuple[Expr]:
    # y = windows added up:  x_ct = the windows of ct
    del out, x, lengths
    return (apply("Unfold", ct, **window),)


def _fold_jvp(tangents: tuple[Expr], out: Expr, x: Expr, **window: Any) -> Expr:
    del out, x
    return apply("Fold", tangents[0], **window)


def _counted(axes: Ints, x: Expr) -> Ints:
    return tuple(axis % x.aval.rank for axis in axes)


def _batch_fold(size: Any, batched: Any, x: Expr, *, axes: Ints, lengths: Ints, **w: Any) -> Expr:
    del size, batched
    rank = x.aval.rank - 1 - len(lengths)
    return apply("Fold", x, axes=tuple(a % rank + 1 for a in axes), lengths=lengths, **w)


WINDOWS = (
    Op(
        "Unfold",
        None,
        _unfold_vjp,
        _unfold_jvp,
        no_cost,
        no_workspace,
        linear=((0,),),
        view=_view_unfold,
        batching=lanes.shifted("Unfold", "axes"),
    ),
    Op(
        "Fold",
        _bind_fold,
        _fold_vjp,
        _fold_jvp,
        per_input(),
        _fold_workspace,
        linear=((0,),),
        batching=_batch_fold,
    ),
)
