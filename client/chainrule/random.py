"""Random numbers inside traced code, the same for any number of workers and any cut of the batch.

Each draw has a stream number in call order, so two equal draws differ. Each element has a counter: the
number of its example in the whole batch times the padded words of an example, plus its place there. The bits
are Philox of (key, stream, counter); the key comes from the seed and the step. Outside of traced code the
numbers are NumPy's, for trying a model out; they are others than the server's.
"""

import math
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from chainrule.ir.avals import DType
from chainrule.tracing.operands import as_tracer, emit, is_tracing, tape_now
from chainrule.tracing.refusals import refuse
from chainrule.tracing.tape import current
from chainrule.tracing.tracer import Tracer

__all__ = ["bernoulli", "bits", "normal", "uniform"]

# A Philox block holds four words; an example begins at a block, so that a kernel can fill whole blocks.
_BLOCK = 4
_untraced = np.random.Generator(np.random.Philox(0))


def bits(shape: Sequence[int] = ()) -> Any:
    """Uniform 32-bit words, uint32 of this shape; axis 0 counts the examples."""
    dims = tuple(shape)
    if current() is None:
        return _untraced.integers(0, 2**32, dims, np.uint32)
    tape = tape_now()
    key = Tracer(tape, tape.key())
    return emit("RandomBits", key, _counter(dims), stream=tape.next_stream())


def _counter(dims: tuple[int, ...]) -> Any:
    """example * padded words + offset, int64 of shape dims."""
    if not dims:
        return as_tracer(0, DType.INT64)
    words = prod(dims[1:])
    padded = -(-words // _BLOCK) * _BLOCK
    total: Any = _iota(dims, 0, padded)
    stride = words
    for axis in range(1, len(dims)):
        stride //= max(dims[axis], 1)
        if dims[axis] > 1:
            total = total + _iota(dims, axis, stride)
    return total


def _iota(dims: tuple[int, ...], axis: int, stride: int) -> Any:
    index = Tracer(
        tape_now(),
        tape_now().record("Iota", (), {"dtype": DType.INT64, "shape": dims, "axis": axis}),
    )
    return index if stride == 1 else index * stride


def uniform(
    shape: Sequence[int] = (), dtype: Any = np.float64, low: float = 0.0, high: float = 1.0
) -> Any:
    """Uniform numbers in [low, high): multiples of 2^-53 in float64, of 2^-24 in float32."""
    kind = DType.of(dtype)
    if kind is DType.FLOAT64:
        words = bits((*shape, 2))
        # 27 and 26 bits make the 53 of a float64.
        upper, lower = words[..., 0] // np.uint32(32), words[..., 1] // np.uint32(64)
        unit = (upper.astype(np.float64) * 2.0**26 + lower.astype(np.float64)) * 2.0**-53
    elif kind is DType.FLOAT32:
        unit = (bits(shape) // np.uint32(256)).astype(np.float32) * np.float32(2.0**-24)
    else:
        raise refuse(f"uniform numbers of dtype {kind.label}", "draw float64 or float32")
    return unit if (low, high) == (0.0, 1.0) else unit * (high - low) + low


def bernoulli(p: Any, shape: Sequence[int] = ()) -> Any:
    """True with probability p, bool of this shape; p may be a traced value.

    A static p is compared with the bits themselves, one word an element: its resolution is 2^-32.
    """
    if is_tracing(p):
        return uniform(shape, np.float32) < p
    if not 0.0 <= float(p) <= 1.0:
        raise refuse(f"a probability of {p}", "give a number from 0 to 1")
    threshold = round(float(p) * 2**32)
    if threshold == 2**32:
        return (
            np.ones(tuple(shape), bool)
            if current() is None
            else as_tracer(np.broadcast_to(np.True_, tuple(shape)))
        )
    return bits(shape) < np.uint32(threshold)


def normal(shape: Sequence[int] = (), dtype: Any = np.float64) -> Any:
    """Standard normal numbers, sqrt(2) erfinv(2 u - 1): one uniform number each, nothing is ever rejected."""
    kind = DType.of(dtype)
    if current() is None:
        return _untraced.standard_normal(tuple(shape)).astype(kind.numpy)
    # u may be 0, whose normal number is infinite; the next one up is not.
    least = -1.0 + np.finfo(kind.numpy).epsneg if kind.is_float else -1.0
    signed = np.maximum(2.0 * uniform(shape, dtype) - 1.0, kind.numpy.type(least))
    return emit("ErfInv", as_tracer(signed)) * math.sqrt(2.0)
