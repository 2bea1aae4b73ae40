"""Ops that compute nothing: elements stay where they are (views) or move to another place."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from types import EllipsisType
from typing import cast

import numpy as np
from numpy.lib.stride_tricks import as_strided

from chainrule.ir.avals import BatchDim, Dim, Shape
from chainrule.ir.expr import Expr, apply, concat, expand, pad, reshape, slice_, transpose, zeros
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.copying import copier
from chainrule_server.engine.ops.dims import minus, plus, sign
from chainrule_server.engine.ops.table import (
    ALL,
    Array,
    Arrays,
    AttrMap,
    Op,
    Tangents,
    Thunk,
    no_cost,
    no_workspace,
    per_element,
)

Ints = tuple[int, ...]
Dims = Sequence[Dim]


def strides_after_reshape(shape: Ints, strides: Ints, new: Ints) -> Ints | None:
    """Strides with which an array's memory shows another shape of equal size; None where no such exist.

    Runs of old axes and runs of new ones of equal product are matched; a run of old axes must be evenly
    spaced to be cut anew.
    """
    if 0 in shape:
        return tuple(0 for _ in new)
    old = [(d, s) for d, s in zip(shape, strides, strict=True) if d != 1]
    out: list[int] = [0] * len(new)
    axes = [axis for axis, d in enumerate(new) if d != 1]
    at = 0
    while old:
        run = [old.pop(0)]
        have = run[0][0]
        first, want = at, 1
        while want != have or want == 1:
            if want < have:
                want *= new[axes[at]]
                at += 1
            else:
                run.append(old.pop(0))
                have *= run[-1][0]
        if any(a[1] != b[0] * b[1] for a, b in pairwise(run)):
            return None
        step = run[-1][1]
        for axis in reversed(axes[first:at]):
            out[axis] = step
            step *= new[axis]
    return tuple(out)


def _box(slices: Iterable[slice]) -> tuple[slice | EllipsisType, ...]:
    """An index that gives a view. The ellipsis keeps a 0-d array one: x[()] is a scalar, a copy."""
    return (*slices, ...)


def _view_reshape(x: Array, attrs: AttrMap, shape: Ints) -> Array | None:
    del attrs
    if x.flags.c_contiguous:
        return x.reshape(shape)
    strides = strides_after_reshape(x.shape, x.strides, shape)
    return None if strides is None else as_strided(x, shape, strides, writeable=False)


def _bind_reshape(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    # out is contiguous, so its elements can be named by the input's shape
    del attrs
    return copier(ins[0], out.reshape(ins[0].shape))


def _reshape_vjp(ct: Expr, out: Expr, x: Expr, *, shape: Shape) -> tuple[Expr]:
    # y = x in another shape:  x_ct = ct in x's shape
    del out, shape
    return (reshape(ct, x.shape),)


def _reshape_jvp(tangents: tuple[Expr], out: Expr, x: Expr, *, shape: Shape) -> Expr:
    del out, x
    return reshape(tangents[0], shape)


def _view_transpose(x: Array, attrs: AttrMap, shape: Ints) -> Array:
    del shape
    return x.transpose(cast(Ints, attrs["perm"]))


def _transpose_vjp(ct: Expr, out: Expr, x: Expr, *, perm: Ints) -> tuple[Expr]:
    # y[i_perm] = x[i]:  x_ct = ct with its axes back in place
    del out, x
    return (transpose(ct, [perm.index(axis) for axis in range(len(perm))]),)


def _transpose_jvp(tangents: tuple[Expr], out: Expr, x: Expr, *, perm: Ints) -> Expr:
    del out, x
    return transpose(tangents[0], perm)


def _view_expand(x: Array, attrs: AttrMap, shape: Ints) -> Array:
    del attrs
    return np.broadcast_to(x, shape)


def _expand_vjp(ct: Expr, out: Expr, x: Expr, *, shape: Shape) -> tuple[Expr]:
    # y = x repeated:  x_ct = the sum of ct over the repeats, which is what un-broadcasting does
    del out, x, shape
    return (ct,)


def _expand_jvp(tangents: tuple[Expr], out: Expr, x: Expr, *, shape: Shape) -> Expr:
    del out, x
    return expand(tangents[0], shape)


def _view_slice(x: Array, attrs: AttrMap, shape: Ints) -> Array:
    del shape
    bounds = zip(
        cast(Ints, attrs["starts"]),
        cast(Ints, attrs["stops"]),
        cast(Ints, attrs["steps"]),
        strict=True,
    )
    return x[_box(slice(a, b, c) for a, b, c in bounds)]


def _slice_vjp(
    ct: Expr, out: Expr, x: Expr, *, starts: Dims, stops: Dims, steps: Ints
) -> tuple[Expr | None]:
    # y = x[start:stop:step]:  x_ct = ct padded with start zeros before, step - 1 between, the rest behind
    if 0 in out.shape:
        return (None,)
    high: list[Dim] = []
    for dim, start, stop, step, n in zip(x.shape, starts, stops, steps, ct.shape, strict=True):
        if not isinstance(dim, BatchDim) and isinstance(start, int) and isinstance(n, int):
            high.append(dim - (start + (n - 1) * step + 1))
        else:
            high.append(minus(dim, stop))
    return (pad(ct, starts, high, [step - 1 for step in steps]),)


def _slice_jvp(
    tangents: tuple[Expr], out: Expr, x: Expr, *, starts: Dims, stops: Dims, steps: Ints
) -> Expr:
    del out, x
    return slice_(tangents[0], starts, stops, steps)


def _view_flip(x: Array, attrs: AttrMap, shape: Ints) -> Array:
    del shape
    axes = [axis % x.ndim for axis in cast(Ints, attrs["axes"])]
    back, keep = slice(None, None, -1), slice(None)
    return x[_box(back if axis in axes else keep for axis in range(x.ndim))]


def _flip_vjp(ct: Expr, out: Expr, x: Expr, *, axes: Ints) -> tuple[Expr]:
    # y[i] = x[n - 1 - i]:  x_ct = ct, flipped again
    del out, x
    return (apply("Flip", ct, axes=axes),)


def _flip_jvp(tangents: tuple[Expr], out: Expr, x: Expr, *, axes: Ints) -> Expr:
    del out, x
    return apply("Flip", tangents[0], axes=axes)


def _bind_pad(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    (x,) = ins
    source, target = [], []
    for dim, size, low, inner in zip(
        x.shape,
        out.shape,
        cast(Ints, attrs["low"]),
        cast(Ints, attrs["interior"]),
        strict=True,
    ):
        # x[i] goes to place low + i step; those with 0 <= place < size stay
        step = inner + 1
        first = -(low // step) if low < 0 else 0
        last = min(dim, max(-((low - size) // step), first))
        first = min(first, last)
        source.append(slice(first, last))
        start = low + first * step
        target.append(
            slice(start, start + (last - first - 1) * step + 1, step)
            if last > first
            else slice(0, 0)
        )
    part, place = x[_box(source)], out[_box(target)]
    if part.size == out.size:
        return partial(np.copyto, out, part.reshape(out.shape) if part.size == 0 else part)

    def run() -> None:
        out.fill(0)
        np.copyto(place, part)

    return run


def _pad_vjp(ct: Expr, out: Expr, x: Expr, *, low: Dims, high: Dims, interior: Ints) -> tuple[Expr]:
    # y[low + i step] = x[i]:  x_ct[i] = ct[low + i step], 0 where that place was cut off. An axis that only
    # grew is cut back to its elements; one that was cut is padded the other way, then thinned out.
    del x
    cut = [sign(a) < 0 or sign(b) < 0 for a, b in zip(low, high, strict=True)]
    whole = list(out.shape)
    starts = [0 if c else a for c, a in zip(cut, low, strict=True)]
    stops = [d if c else minus(d, b) for c, d, b in zip(cut, whole, high, strict=True)]
    found = slice_(
        ct, starts, stops, [1 if c else i + 1 for c, i in zip(cut, interior, strict=True)]
    )
    if not any(cut):
        return (found,)
    back_low = [minus(0, a) if c else 0 for c, a in zip(cut, low, strict=True)]
    back_high = [minus(0, b) if c else 0 for c, b in zip(cut, high, strict=True)]
    found = pad(found, back_low, back_high, [0] * len(cut))
    steps = [i + 1 if c else 1 for c, i in zip(cut, interior, strict=True)]
    return (slice_(found, [0] * len(cut), found.shape, steps),)


def _pad_jvp(
    tangents: tuple[Expr], out: Expr, x: Expr, *, low: Dims, high: Dims, interior: Ints
) -> Expr:
    del out, x
    return pad(tangents[0], low, high, interior)


def _bind_concat(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    axis = cast(int, attrs["axis"]) % out.ndim
    pairs, at = [], 0
    for x in ins:
        n = x.shape[axis]
        pairs.append((out[(slice(None),) * axis + (slice(at, at + n),)], x))
        at += n

    def run() -> None:
        for place, x in pairs:
            np.copyto(place, x)

    return run


def _concat_vjp(ct: Expr, out: Expr, *xs: Expr, axis: int) -> tuple[Expr, ...]:
    # y = (x_1, ..., x_n):  x_i_ct = the i-th piece of ct
    axis %= out.aval.rank
    pieces, at = [], cast(Dim, 0)
    for x in xs:
        end = plus(at, x.shape[axis])
        starts, stops = [cast(Dim, 0)] * x.aval.rank, list(x.shape)
        starts[axis], stops[axis] = at, end
        pieces.append(slice_(ct, starts, stops, [1] * x.aval.rank))
        at = end
    return tuple(pieces)


def _concat_jvp(tangents: Tangents, out: Expr, *xs: Expr, axis: int) -> Expr:
    del out
    filled = [zeros(x.b, x.aval) if t is None else t for t, x in zip(tangents, xs, strict=True)]
    return concat(filled, axis)


def _batch_expand(size: Dim, batched: Sequence[bool], x: Expr, *, shape: Shape) -> Expr:
    # the lanes stay in front of the axes that are added
    del batched
    added = len(shape) - (x.aval.rank - 1)
    return expand(reshape(x, (size, *(1,) * added, *x.shape[1:])), (size, *shape))


def _batch_concat(size: Dim, batched: Sequence[bool], *xs: Expr, axis: int) -> Expr:
    wide = lanes.every(size, batched, xs)
    return concat(wide, axis % (wide[0].aval.rank - 1) + 1)


_LINEAR = ((0,),)

MOVEMENT = (
    Op(
        "Reshape",
        _bind_reshape,
        _reshape_vjp,
        _reshape_jvp,
        no_cost,
        no_workspace,
        linear=_LINEAR,
        view=_view_reshape,
        batching=lanes.prefixed("Reshape", lambda size: {"shape": size}),
    ),
    Op(
        "Transpose",
        None,
        _transpose_vjp,
        _transpose_jvp,
        no_cost,
        no_workspace,
        linear=_LINEAR,
        view=_view_transpose,
        batching=lanes.shifted("Transpose", "perm", front=(0,)),
    ),
    Op(
        "Expand",
        None,
        _expand_vjp,
        _expand_jvp,
        no_cost,
        no_workspace,
        linear=_LINEAR,
        view=_view_expand,
        batching=_batch_expand,
    ),
    Op(
        "Slice",
        None,
        _slice_vjp,
        _slice_jvp,
        no_cost,
        no_workspace,
        linear=_LINEAR,
        view=_view_slice,
        batching=lanes.prefixed("Slice", lambda size: {"starts": 0, "stops": size, "steps": 1}),
    ),
    Op(
        "Flip",
        None,
        _flip_vjp,
        _flip_jvp,
        no_cost,
        no_workspace,
        linear=_LINEAR,
        view=_view_flip,
        batching=lanes.shifted("Flip", "axes"),
    ),
    Op(
        "Pad",
        _bind_pad,
        _pad_vjp,
        _pad_jvp,
        per_element(),
        no_workspace,
        linear=_LINEAR,
        batching=lanes.prefixed("Pad", lambda size: {"low": 0, "high": 0, "interior": 0}),
    ),
    Op(
        "Concat",
        _bind_concat,
        _concat_vjp,
        _concat_jvp,
        per_element(),
        no_workspace,
        linear=(ALL,),
        batching=_batch_concat,
    ),
)
