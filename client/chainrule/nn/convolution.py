"""Convolutions and pooling over any number of spatial axes; channels are the last axis."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.tracing.operands import as_tracer, is_tracing
from chainrule.tracing.refusals import refuse
from chainrule.tracing.windows import unfold

Counts = int | Sequence[int]
Padding = str | int | Sequence[Any]


def conv(
    x: Any, w: Any, b: Any = None, stride: Counts = 1, padding: Padding = 0, dilation: Counts = 1
) -> Any:
    """A convolution (without flip) of x (batch, *space, inputs) with w (*window, inputs, outputs).

    Args:
        x: one, two, three, ... spatial axes: as many as w has beyond two.
        w: the weights.
        b: (outputs,).
        stride, dilation: an int, or one a spatial axis.
        padding: zeros around each spatial axis: an int, one a spatial axis, pairs of them, or "same" (of
            stride 1) or "valid".

    Raises:
        TraceError: axes or channels that don't fit.
    """
    rank = np.ndim(w) - 2
    if rank < 1 or np.ndim(x) != rank + 2 or np.shape(x)[-1] != np.shape(w)[-2]:
        raise refuse(
            f"a convolution of {np.shape(x)} with weights {np.shape(w)}",
            "give x (batch, *space, inputs) and w (*window, inputs, outputs)",
        )
    sizes, steps, gaps = np.shape(w)[:rank], _each(stride, rank), _each(dilation, rank)
    wide = _padded(x, _pairs(padding, sizes, gaps), 0.0)
    windows = _windows(wide, sizes, steps, gaps)
    # (batch, *space, inputs, *window) with (*window, inputs, outputs)
    first = tuple(range(rank + 1, 2 * rank + 2))
    out = np.tensordot(windows, w, (first, (rank, *range(rank))))
    return out if b is None else out + b


def max_pool(
    x: Any, window: Counts, stride: Counts | None = None, padding: Padding = 0, rank: int = 2
) -> Any:
    """The largest element of each window of x (batch, *space, channels); of equal ones the first.

    Args:
        x: with `rank` spatial axes.
        window: its sizes, an int or one a spatial axis.
        stride: that of the window by default.
        padding: as `conv`; what is outside is never the largest.
        rank: the number of spatial axes.
    """
    flat = _pooled(x, window, stride, padding, rank, -np.inf)
    first = np.expand_dims(np.argmax(flat, axis=-1), -1)
    return np.take_along_axis(flat, first, -1)[..., 0]


def average_pool(
    x: Any, window: Counts, stride: Counts | None = None, padding: Padding = 0, rank: int = 2
) -> Any:
    """The mean of each window; padding counts as zeros. The arguments are those of `max_pool`."""
    return np.mean(_pooled(x, window, stride, padding, rank, 0.0), axis=-1)


def _pooled(
    x: Any, window: Counts, stride: Counts | None, padding: Padding, rank: int, fill: float
) -> Any:
    """Windows with their elements on one last axis."""
    if np.ndim(x) != rank + 2:
        raise refuse(
            f"pooling of {np.shape(x)} over {rank} spatial axes",
            "give x (batch, *space, channels) and rank=",
        )
    sizes, ones = _each(window, rank), (1,) * rank
    steps = sizes if stride is None else _each(stride, rank)
    windows = _windows(_padded(x, _pairs(padding, sizes, ones), fill), sizes, steps, ones)
    return np.reshape(windows, (*np.shape(windows)[: rank + 2], -1))


def _windows(x: Any, sizes: Sequence[int], steps: Sequence[int], gaps: Sequence[int]) -> Any:
    axes = range(1, len(sizes) + 1)
    if is_tracing(x):
        return unfold(as_tracer(x), axes, sizes, steps, gaps)
    spans = tuple((s - 1) * g + 1 for s, g in zip(sizes, gaps, strict=True))
    every = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(axes))
    outer = tuple(slice(None, None, s) for s in steps)
    inner = tuple(slice(None, None, g) for g in gaps)
    return every[(slice(None), *outer, slice(None), *inner)]


def _padded(x: Any, pairs: Sequence[tuple[int, int]], fill: float) -> Any:
    if not any(map(any, pairs)):
        return x
    return np.pad(x, ((0, 0), *pairs, (0, 0)), constant_values=fill)


def _each(value: Counts, rank: int) -> tuple[int, ...]:
    each = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(each) != rank or any(v < 1 for v in each):
        raise refuse(f"{value!r} for {rank} spatial axes", "give one number from 1 on an axis")
    return each


def _pairs(
    padding: Padding, sizes: Sequence[int], gaps: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    rank = len(sizes)
    if padding == "valid":
        padding = 0
    if padding == "same":
        spans = [(s - 1) * g for s, g in zip(sizes, gaps, strict=True)]
        return tuple((span // 2, span - span // 2) for span in spans)
    if isinstance(padding, int):
        return ((padding, padding),) * rank
    if isinstance(padding, str) or len(padding) != rank:
        raise refuse(f"padding={padding!r}", 'give "same", "valid", an int, or one a spatial axis')
    return tuple((p, p) if isinstance(p, int) else (int(p[0]), int(p[1])) for p in padding)
