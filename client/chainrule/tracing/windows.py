"""Sliding windows, and the sums over them that NumPy has: convolve and correlate."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.ir.rules import axes_of
from chainrule.tracing.elementwise import reals
from chainrule.tracing.movement import flip, ints
from chainrule.tracing.operands import as_tracer, emit, weakly
from chainrule.tracing.refusals import refuse
from chainrule.tracing.registry import implements
from chainrule.tracing.tracer import Tracer


def unfold(
    x: Tracer,
    axes: Sequence[int],
    sizes: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> Tracer:
    """The windows of some axes; the elements of a window are new axes at the end."""
    out = emit(
        "Unfold",
        x,
        axes=tuple(axes),
        sizes=tuple(sizes),
        strides=tuple(strides),
        dilations=tuple(dilations),
    )
    return weakly(out, x.weak)


@implements(np.lib.stride_tricks.sliding_window_view)
def sliding_window_view(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Tracer:
    """np.lib.stride_tricks.sliding_window_view, each axis once."""
    del subok, writeable
    value, sizes = as_tracer(x), ints(window_shape)
    axes = tuple(range(value.ndim)) if axis is None else axes_of(ints(axis), value.ndim)
    if len(axes) != len(sizes):
        raise refuse(f"windows {sizes} over {len(axes)} axes", "give one size an axis, or axis=")
    ones = (1,) * len(sizes)
    return unfold(value, axes, sizes, ones, ones)


@implements(np.convolve)
def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """np.convolve of two sequences: windows of the longer one times the shorter one."""
    (x, y), _ = reals(a, v)
    if x.ndim != 1 or y.ndim != 1 or not x.shape[0] or not y.shape[0]:
        raise refuse(f"np.convolve of {x.aval} and {y.aval}", "give two sequences")
    if y.shape[0] > x.shape[0]:
        x, y = y, x
    m = y.shape[0]
    # What stands before and behind the longer one in the windows that the mode keeps.
    sides = {"full": (m - 1, m - 1), "same": (m // 2, m - 1 - m // 2), "valid": (0, 0)}
    if mode not in sides:
        raise refuse(f"np.convolve in mode {mode!r}", "use full, same or valid")
    wide: Any = np.pad(x, sides[mode])
    return unfold(as_tracer(wide), (0,), (m,), (1,), (1,)) @ flip(y, 0)


@implements(np.correlate)
def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """np.correlate of two sequences: the convolution with the second one reversed."""
    if np.shape(v) and np.shape(a) and np.shape(v)[0] > np.shape(a)[0]:
        return flip(correlate(v, a, mode), 0)
    return convolve(a, flip(as_tracer(v), 0), mode)
