"""Functions that move elements: reshape, transpose, join, split, repeat, pad."""

from collections.abc import Sequence
from math import prod
from operator import index as as_int
from typing import Any

import numpy as np

from chainrule.ir.rules import axes_of, axis_of
from chainrule.tracing.operands import as_tracer, emit, normal, together, weakly
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements
from chainrule.tracing.tracer import Tracer


def ints(value: Any) -> tuple[int, ...]:
    """A shape or axes as a tuple of Python ints."""
    if isinstance(value, Tracer):
        raise refuse("a shape or axis is a traced value", "shapes are static: use x.shape and ints")
    if isinstance(value, Sequence | np.ndarray):
        return tuple(as_int(v) for v in value)
    return (as_int(value),)


def reshape_to(x: Tracer, shape: Sequence[int]) -> Tracer:
    """x in this shape; x itself where it has it."""
    if tuple(shape) == x.shape:
        return x
    return weakly(emit("Reshape", x, shape=tuple(shape)), x.weak)


@implements(np.reshape)
def reshape(
    a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None
) -> Tracer:
    """np.reshape in C order, with one -1."""
    del copy
    x, wanted = as_tracer(a), list(ints(newshape if shape is None else shape))
    if order not in ("C", "A", "K"):
        raise refuse(f"reshape in order {order!r} can't be traced", "transpose first, then reshape")
    if wanted.count(-1) == 1:
        rest = prod(d for d in wanted if d != -1)
        wanted[wanted.index(-1)] = x.size // rest if rest and x.size % rest == 0 else -2
    if -2 in wanted or -1 in wanted:
        raise refuse(
            f"{x.shape} can't be reshaped to {tuple(ints(newshape if shape is None else shape))}",
            "give a shape of equal size",
        )
    return reshape_to(x, wanted)


@implements(np.ravel)
def ravel(a: Any, order: str = "C") -> Tracer:
    """np.ravel."""
    return reshape(a, -1, order)


@implements(np.squeeze)
def squeeze(a: Any, axis: Any = None) -> Tracer:
    """np.squeeze."""
    x = as_tracer(a)
    axes = (
        tuple(i for i, d in enumerate(x.shape) if d == 1)
        if axis is None
        else axes_of(ints(axis), x.ndim)
    )
    for i in axes:
        if x.shape[i] != 1:
            raise refuse(f"axis {i} of {x.shape} is not 1", "squeeze axes of length 1 only")
    return reshape_to(x, [d for i, d in enumerate(x.shape) if i not in axes])


@implements(np.expand_dims)
def expand_dims(a: Any, axis: Any) -> Tracer:
    """np.expand_dims."""
    x = as_tracer(a)
    axes = axes_of(ints(axis), x.ndim + len(ints(axis)))
    rest = iter(x.shape)
    return reshape_to(x, [1 if i in axes else next(rest) for i in range(x.ndim + len(axes))])


_transpose_names = tuple(
    f for f in (np.transpose, getattr(np, "permute_dims", None)) if f is not None
)


@implements(*_transpose_names)
def transpose(a: Any, axes: Any = None) -> Tracer:
    """np.transpose."""
    x = as_tracer(a)
    perm = tuple(range(x.ndim))[::-1] if axes is None else axes_of(ints(axes), x.ndim)
    if perm == tuple(range(x.ndim)):
        return x
    return weakly(emit("Transpose", x, perm=perm), x.weak)


@implements(np.swapaxes)
def swapaxes(a: Any, axis1: int, axis2: int) -> Tracer:
    """np.swapaxes."""
    x = as_tracer(a)
    i, j = axes_of((axis1,), x.ndim)[0], axes_of((axis2,), x.ndim)[0]
    perm = list(range(x.ndim))
    perm[i], perm[j] = perm[j], perm[i]
    return transpose(x, perm)


@implements(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Tracer:
    """np.moveaxis."""
    x = as_tracer(a)
    sources, targets = axes_of(ints(source), x.ndim), axes_of(ints(destination), x.ndim)
    perm = [i for i in range(x.ndim) if i not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        perm.insert(target, origin)
    return transpose(x, perm)


if hasattr(np, "matrix_transpose"):

    @implements(np.matrix_transpose)
    def matrix_transpose(x: Any) -> Tracer:
        """The last two axes exchanged."""
        return swapaxes(x, -1, -2)


def expand_to(x: Tracer, shape: Sequence[int]) -> Tracer:
    """x broadcast to this shape; x itself where it has it."""
    if tuple(shape) == x.shape:
        return x
    return weakly(emit("Expand", x, shape=tuple(shape)), x.weak)


@implements(np.broadcast_to)
def broadcast_to(array: Any, shape: Any, subok: bool = False) -> Tracer:
    """np.broadcast_to."""
    del subok
    return expand_to(as_tracer(array), ints(shape))


@implements(np.broadcast_arrays)
def broadcast_arrays(*arrays: Any, subok: bool = False) -> tuple[Tracer, ...]:
    """np.broadcast_arrays."""
    del subok
    shape = np.broadcast_shapes(*(np.shape(a) for a in arrays))
    return tuple(expand_to(as_tracer(a), shape) for a in arrays)


def _joined(arrays: Any, what: str) -> list[Tracer]:
    if isinstance(arrays, Tracer):
        arrays = [arrays[i] for i in range(len(arrays))]
    if not len(arrays):
        raise refuse(f"np.{what} of nothing", "give at least one array")
    return together(*arrays)[0]


_concatenate_names = tuple(
    f for f in (np.concatenate, getattr(np, "concat", None)) if f is not None
)


@implements(*_concatenate_names)
def concatenate(arrays: Any, axis: int | None = 0, dtype: Any = None, casting: Any = None) -> Any:
    """np.concatenate."""
    del casting
    values = _joined(arrays, "concatenate")
    if axis is None:
        values, axis = [ravel(v) for v in values], 0
    if any(not v.ndim for v in values):
        raise refuse("values without axes can't be concatenated", "use np.stack")
    axis = axis_of(axis, values[0].ndim)
    out = values[0] if len(values) == 1 else emit("Concat", *values, axis=axis)
    return out if dtype is None else out.astype(dtype)


@implements(np.append)
def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """np.append."""
    return concatenate([arr, values], axis)


@implements(np.stack)
def stack(arrays: Any, axis: int = 0, dtype: Any = None, casting: Any = None) -> Any:
    """np.stack."""
    return concatenate(
        [expand_dims(v, axis) for v in _joined(arrays, "stack")], axis, dtype, casting
    )


@implements(np.vstack)
def vstack(tup: Any, dtype: Any = None, casting: Any = None) -> Any:
    """np.vstack."""
    return concatenate([atleast_2d(v) for v in tup], 0, dtype, casting)


@implements(np.hstack)
def hstack(tup: Any, dtype: Any = None, casting: Any = None) -> Any:
    """np.hstack."""
    values = [atleast_1d(v) for v in tup]
    return concatenate(values, 0 if values[0].ndim == 1 else 1, dtype, casting)


@implements(np.dstack)
def dstack(tup: Any) -> Any:
    """np.dstack."""
    return concatenate([atleast_3d(v) for v in tup], 2)


@implements(np.column_stack)
def column_stack(tup: Any) -> Any:
    """np.column_stack."""
    values = [as_tracer(v) for v in tup]
    return concatenate([v if v.ndim > 1 else reshape(v, (-1, 1)) for v in values], 1)


@implements(np.atleast_1d)
def atleast_1d(a: Any) -> Tracer:
    """np.atleast_1d of one array."""
    x = as_tracer(a)
    return x if x.ndim else reshape_to(x, (1,))


@implements(np.atleast_2d)
def atleast_2d(a: Any) -> Tracer:
    """np.atleast_2d of one array."""
    x = as_tracer(a)
    return x if x.ndim > 1 else reshape_to(x, (1, x.size))


@implements(np.atleast_3d)
def atleast_3d(a: Any) -> Tracer:
    """np.atleast_3d of one array."""
    x = as_tracer(a)
    if x.ndim > 2:
        return x
    return reshape_to(x, (*x.shape, 1) if x.ndim == 2 else (1, x.size, 1))


def slice_axis(x: Tracer, axis: int, start: int, stop: int, step: int = 1) -> Tracer:
    """x[..., start:stop:step, ...] along one axis; 0 <= start <= stop, step >= 1."""
    if (start, stop, step) == (0, x.shape[axis], 1):
        return x
    starts, stops, steps = [0] * x.ndim, list(x.shape), [1] * x.ndim
    starts[axis], stops[axis], steps[axis] = start, stop, step
    out = emit("Slice", x, starts=tuple(starts), stops=tuple(stops), steps=tuple(steps))
    return weakly(out, x.weak)


@implements(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tracer]:
    """np.array_split."""
    x = as_tracer(ary)
    axis = axes_of((axis,), x.ndim)[0]
    length = x.shape[axis]
    if isinstance(indices_or_sections, Sequence | np.ndarray):
        cuts = [min(max(i + length if i < 0 else i, 0), length) for i in ints(indices_or_sections)]
    else:
        each, extra = divmod(length, as_int(indices_or_sections))
        sizes = [each + (i < extra) for i in range(as_int(indices_or_sections))]
        cuts = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    bounds = zip([0, *cuts], [*cuts, length], strict=True)
    return [slice_axis(x, axis, a, max(a, b)) for a, b in bounds]


@implements(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Tracer]:
    """np.split."""
    x = as_tracer(ary)
    if not isinstance(indices_or_sections, Sequence | np.ndarray):
        length = x.shape[axes_of((axis,), x.ndim)[0]]
        if length % as_int(indices_or_sections):
            raise refuse(
                f"an axis of {length} doesn't split into {indices_or_sections} equal parts",
                "use np.array_split, or give the indices",
            )
    return array_split(x, indices_or_sections, axis)


@implements(np.hsplit)
def hsplit(ary: Any, indices_or_sections: Any) -> list[Tracer]:
    """np.hsplit."""
    x = as_tracer(ary)
    return split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


@implements(np.vsplit)
def vsplit(ary: Any, indices_or_sections: Any) -> list[Tracer]:
    """np.vsplit."""
    return split(ary, indices_or_sections, 0)


@implements(np.flip)
def flip(m: Any, axis: Any = None) -> Tracer:
    """np.flip."""
    x = as_tracer(m)
    axes = tuple(range(x.ndim)) if axis is None else axes_of(ints(axis), x.ndim)
    return weakly(emit("Flip", x, axes=axes), x.weak) if axes else x


@implements(np.flipud)
def flipud(m: Any) -> Tracer:
    """np.flipud."""
    return flip(m, 0)


@implements(np.fliplr)
def fliplr(m: Any) -> Tracer:
    """np.fliplr."""
    return flip(m, 1)


@implements(np.roll)
def roll(a: Any, shift: Any, axis: Any = None) -> Tracer:
    """np.roll by static shifts."""
    x = as_tracer(a)
    if axis is None:
        return reshape_to(roll(ravel(x), shift, 0), x.shape)
    shifts, axes = ints(shift), axes_of(ints(axis), x.ndim)
    for i, by in zip(axes, shifts * len(axes) if len(shifts) == 1 else shifts, strict=True):
        length = x.shape[i]
        cut = -by % length if length else 0
        if cut:
            x = concatenate([slice_axis(x, i, cut, length), slice_axis(x, i, 0, cut)], i)
    return x


@implements(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Tracer:
    """np.repeat by one static count."""
    x = ravel(a) if axis is None else as_tracer(a)
    i = axes_of((axis or 0,), x.ndim)[0]
    count = ints(repeats)
    if len(count) != 1:
        raise refuse("np.repeat with a count an element can't be traced", "index with an int array")
    shape = x.shape
    wide = expand_to(expand_dims(x, i + 1), (*shape[: i + 1], count[0], *shape[i + 1 :]))
    return reshape_to(wide, (*shape[:i], shape[i] * count[0], *shape[i + 1 :]))


@implements(np.tile)
def tile(A: Any, reps: Any) -> Tracer:
    """np.tile."""
    x, counts = as_tracer(A), ints(reps)
    rank = max(x.ndim, len(counts))
    shape = (1,) * (rank - x.ndim) + x.shape
    counts = (1,) * (rank - len(counts)) + counts
    x = reshape_to(x, [d for pair in zip((1,) * rank, shape, strict=True) for d in pair])
    x = expand_to(x, [d for pair in zip(counts, shape, strict=True) for d in pair])
    return reshape_to(x, [c * d for c, d in zip(counts, shape, strict=True)])


@implements(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    """np.pad with one constant, or by places of the array: edge, reflect, symmetric, wrap."""
    if mode != "constant":
        return _padded_by_place(as_tracer(array), pad_width, mode)
    if np.ndim(constant_values):
        raise refuse(
            "np.pad with several constants can't be traced", "np.concatenate np.full arrays"
        )
    x = as_tracer(array)
    widths = np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()
    low, high = tuple(w[0] for w in widths), tuple(w[1] for w in widths)

    def padded(value: Tracer) -> Tracer:
        out = emit("Pad", value, low=low, high=high, interior=(0,) * x.ndim)
        return weakly(out, value.weak)

    fill = normal(constant_values)
    if not isinstance(fill, Tracer) and fill == 0:
        return padded(x)
    inside = padded(as_tracer(np.broadcast_to(np.True_, x.shape)).astype(x.dtype))
    return np.where(inside != 0, padded(x), fill)


def _padded_by_place(x: Tracer, pad_width: Any, mode: str) -> Any:
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        raise refuse(
            f"np.pad in mode {mode!r} can't be traced",
            "use constant, edge, reflect, symmetric or wrap",
        )
    value: Any = x
    for axis, widths in enumerate(np.broadcast_to(np.asarray(pad_width), (x.ndim, 2)).tolist()):
        if any(widths):
            # Where each element comes from, by the same rule on the places themselves.
            places = np.pad(np.arange(x.shape[axis]), widths, mode)  # type: ignore[call-overload]
            value = np.take(value, places, axis)
    return value
