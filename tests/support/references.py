"""What primitives mean, in plain NumPy loops; complex arrays pass through, for complex steps."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = tuple[int, ...]


def pad(x: Array, *, low: Ints, high: Ints, interior: Ints) -> Array:
    """Every element at its place; those that fall outside are dropped."""
    shape = [
        d + max(d - 1, 0) * i + a + b
        for d, a, b, i in zip(x.shape, low, high, interior, strict=True)
    ]
    out = np.zeros(shape, x.dtype)
    for at in np.ndindex(*x.shape):
        place = tuple(a + k * (i + 1) for k, a, i in zip(at, low, interior, strict=True))
        if all(0 <= p < d for p, d in zip(place, shape, strict=True)):
            out[place] = x[at]
    return out


def slice_(x: Array, *, starts: Ints, stops: Ints, steps: Ints) -> Array:
    """x[start:stop:step]."""
    bounds = zip(starts, stops, steps, strict=True)
    box: tuple[slice, ...] = tuple(slice(a, b, c) for a, b, c in bounds)
    return np.asarray(x[box])


def gather(table: Array, index: Array, *, axis: int, batch_dims: int) -> Array:
    """One example at a time."""
    if batch_dims:
        rows = [
            gather(t, i, axis=axis % table.ndim - 1, batch_dims=batch_dims - 1)
            for t, i in zip(table, index.real.astype(int), strict=True)
        ]
        return np.stack(rows)
    return np.take(table, index.real.astype(int), axis)


def scatter_add(index: Array, updates: Array, *, axis: int, batch_dims: int, size: Ints) -> Array:
    """One row at a time."""
    index = index.real.astype(int)
    if batch_dims:
        rows = [
            scatter_add(i, u, axis=axis - 1, batch_dims=batch_dims - 1, size=size)
            for i, u in zip(index, updates, strict=True)
        ]
        return np.stack(rows)
    shape = (*updates.shape[:axis], *size, *updates.shape[axis + index.ndim :])
    out = np.zeros(shape, updates.dtype)
    lead = (slice(None),) * axis
    for at in np.ndindex(*index.shape):
        row: Any = (*lead, index[at])
        update: Any = (*lead, *at)
        out[row] += updates[update]
    return out


def mean_of_largest(x: Array, t: Array, axes: Ints, keepdims: bool) -> Array:
    """The tangent of a maximum: the mean of t over the elements that attain it."""
    mask = x == np.max(x, axes, keepdims=True)
    count = np.sum(mask, axes, keepdims=keepdims)
    return np.asarray(np.sum(np.where(mask, t, 0), axes, keepdims=keepdims) / count)


def random_bits(key: Array, counter: Array, *, stream: int) -> Array:
    """Philox4x32-10 in Python integers, one counter at a time."""
    out = np.empty(counter.shape, np.uint32)
    for at in np.ndindex(*counter.shape):
        block, word = int(counter[at]) >> 2, int(counter[at]) & 3
        words = [block & 0xFFFFFFFF, block >> 32 & 0xFFFFFFFF, stream, 0]
        out[at] = philox(words, [int(k) for k in key])[word]
    return out


def philox(x: list[int], key: list[int]) -> list[int]:
    """Ten rounds on one counter."""
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [p1 >> 32 ^ x[1] ^ k0, p1 & 0xFFFFFFFF, p0 >> 32 ^ x[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return x
