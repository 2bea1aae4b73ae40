"""What a constant is as a function of the batch size N, found from its values at several sizes.

One size admits anything. From three sizes every form below is overdetermined, so an accident doesn't pass:
a scalar is a constant, c * N^p, a + b*N or c / (a + b*N); an array is one scalar repeated, the same along its
batch axes, or affine in its indices (np.arange and what is made of it).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.ir.avals import BatchDim, Dim, Shape

Array = np.ndarray[Any, np.dtype[Any]]

_POWERS = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0)
# Values of one formula at several sizes agree but for rounding.
_CLOSE = 8 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Scalar:
    """(c * N^p) + (a + b*N), or c / (a + b*N) where `inverse` says so; plain `a` is a constant."""

    a: Any
    b: Any = 0
    c: float = 0.0
    p: float = 0.0
    inverse: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether N is not in it."""
        return not self.b and not self.c


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same array at every size."""

    array: Array


@dataclass(frozen=True, slots=True)
class Filled:
    """One scalar in every place of a shape."""

    scalar: Scalar
    shape: Shape


@dataclass(frozen=True, slots=True)
class Repeated:
    """A fixed array, broadcast along batch axes."""

    array: Array
    shape: Shape


@dataclass(frozen=True, slots=True)
class Affine:
    """start + sum over axes of step[axis] * index[axis]; axes with step None don't matter."""

    start: Scalar
    steps: tuple[Scalar | None, ...]
    shape: Shape


@dataclass(frozen=True, slots=True)
class Identity:
    """True (or one) where the index along axis equals the one along the next axis."""

    shape: Shape


Fit = Fixed | Filled | Repeated | Affine | Identity


def fit_dim(values: Sequence[int], sizes: Sequence[int]) -> Dim | None:
    """The dimension that has these values at these sizes: d, k*N, or None."""
    first = values[0]
    if all(v == first for v in values):
        return int(first)
    k, rest = divmod(first, sizes[0])
    if rest or any(v != k * n for v, n in zip(values, sizes, strict=True)):
        return None
    return BatchDim(k)


def fit_shape(shapes: Sequence[tuple[int, ...]], sizes: Sequence[int]) -> Shape | None:
    """The shape that is each of these at its size."""
    if len({len(s) for s in shapes}) != 1:
        return None
    dims = [fit_dim(values, sizes) for values in zip(*shapes, strict=True)]
    return None if None in dims else tuple(d for d in dims if d is not None)


def fit_scalar(values: Sequence[Any], sizes: Sequence[int]) -> Scalar | None:
    """The formula of a scalar."""
    first = values[0]
    if all(v == first or (v != v and first != first) for v in values):
        return Scalar(first)
    if np.asarray(first).dtype.kind in "iu":
        exact = [int(v) for v in values]
        b, rest = divmod(exact[1] - exact[0], sizes[1] - sizes[0])
        a = exact[0] - b * sizes[0]
        fits = not rest and all(a + b * n == v for v, n in zip(exact, sizes, strict=True))
        return Scalar(a, b) if fits else _fit_power(values, sizes)
    if np.asarray(first).dtype.kind == "b":
        return None
    return _fit_power(values, sizes) or _fit_affine(values, sizes)


def _fit_power(values: Sequence[Any], sizes: Sequence[int]) -> Scalar | None:
    v, n = np.asarray(values, np.float64), np.asarray(sizes, np.float64)
    for p in _POWERS:
        found = _best(v / n**p, lambda c, p=p: c * n**p, v)
        if found is not None:
            return Scalar(0, c=found, p=p)
    return None


def _fit_affine(values: Sequence[Any], sizes: Sequence[int]) -> Scalar | None:
    v, n = np.asarray(values, np.float64), np.asarray(sizes, np.float64)
    line = _line(v, n)
    if line is not None:
        return Scalar(*line)
    with np.errstate(divide="ignore"):
        line = _line(1.0 / v, n)
    return None if line is None else Scalar(line[0], line[1], c=1.0, inverse=True)


def _line(v: Array, n: Array) -> tuple[float, float] | None:
    b = float((v[1] - v[0]) / (n[1] - n[0]))
    b = _rounded(b)
    a = _rounded(float(v[0] - b * n[0]))
    return (a, b) if np.allclose(a + b * n, v, rtol=_CLOSE * 4, atol=0) else None


def _best(candidates: Array, formula: Any, values: Array) -> float | None:
    """The coefficient that gives the values, exactly if one does."""
    if not np.all(np.isfinite(candidates)):
        return None
    pool = [_rounded(float(candidates[0])), *map(float, candidates)]
    for c in pool:
        if np.array_equal(formula(c), values):
            return c
    return pool[0] if np.allclose(formula(pool[0]), values, rtol=_CLOSE, atol=0) else None


def _rounded(value: float) -> float:
    """The value as written by hand, where rounding noise hides it: 1.0 for 0.9999999999999998."""
    short = float(f"{value:.13g}")
    return short if abs(short - value) <= _CLOSE * abs(value) else value


def fit_array(arrays: Sequence[Array], sizes: Sequence[int]) -> Fit | None:
    """The formula of an array, None where there is none."""
    first = arrays[0]
    if all(a is first for a in arrays[1:]) or _equal(arrays):
        return Filled(Scalar(first.flat[0]), first.shape) if _is_filled(first) else Fixed(first)
    shape = fit_shape([a.shape for a in arrays], sizes)
    if shape is None:
        return None
    if all(_is_filled(a) for a in arrays):
        scalar = fit_scalar([a.flat[0] for a in arrays], sizes)
        return None if scalar is None else Filled(scalar, shape)
    small = [_without_repeats(a, shape) for a in arrays]
    if _equal(small):
        return Repeated(small[0], shape)
    return _fit_identity(arrays, shape) or _fit_indices(small, sizes, shape)


def _bits(array: Array) -> Array:
    """The elements as integers: NaN equals NaN, and 0.0 is not -0.0."""
    return array.view(f"u{array.itemsize}")


def _equal(arrays: Sequence[Array]) -> bool:
    first = arrays[0]
    return all(
        a.dtype == first.dtype and np.array_equal(_bits(a), _bits(first)) for a in arrays[1:]
    )


def _is_filled(array: Array) -> bool:
    if not array.size:
        return False
    if all(s == 0 for s, d in zip(array.strides, array.shape, strict=True) if d > 1):
        return True
    bits = _bits(array)
    first = bits.flat[0]
    # The first elements decide nearly always, without a pass over a large array.
    return bool(np.all(bits.flat[:64] == first)) and bool(np.all(bits == first))


def _without_repeats(array: Array, shape: Shape) -> Array:
    """The array with length 1 along those batch axes on which it doesn't depend."""
    for axis, dim in enumerate(shape):
        if isinstance(dim, BatchDim):
            head = array.take([0], axis)
            if np.array_equal(_bits(np.broadcast_to(head, array.shape)), _bits(array)):
                array = head
    return array


def _fit_identity(arrays: Sequence[Array], shape: Shape) -> Identity | None:
    if len(shape) != 2 or shape[0] != shape[1]:
        return None
    same = all(np.array_equal(a, np.eye(len(a), dtype=a.dtype)) for a in arrays)
    return Identity(shape) if same else None


def _fit_indices(arrays: Sequence[Array], sizes: Sequence[int], shape: Shape) -> Affine | None:
    if arrays[0].dtype.kind not in "iuf" or any(not a.size for a in arrays):
        return None
    numbers = [a.astype(np.float64 if a.dtype.kind == "f" else np.int64) for a in arrays]
    start = fit_scalar([a.flat[0] for a in numbers], sizes)
    steps: list[Scalar | None] = []
    rebuilt: list[Any] = [a.flat[0] for a in numbers]
    for axis in range(len(shape)):
        if any(a.shape[axis] == 1 for a in numbers):
            steps.append(None)
            continue
        along = [np.moveaxis(a, axis, 0) for a in numbers]
        by = [a[1].flat[0] - a[0].flat[0] for a in along]
        step = fit_scalar(by, sizes)
        if step is None:
            return None
        steps.append(step)
        rebuilt = [
            r + s * np.arange(a.shape[axis]).reshape(-1, *(1,) * (a.ndim - axis - 1))
            for r, s, a in zip(rebuilt, by, numbers, strict=True)
        ]
    fits = all(
        np.allclose(r, a, rtol=_CLOSE, atol=_CLOSE * float(np.max(np.abs(a))))
        for r, a in zip(rebuilt, numbers, strict=True)
    )
    return Affine(start, tuple(steps), shape) if fits and start is not None else None
