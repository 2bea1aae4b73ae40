"""What the ops of linear algebra, of windows and of transforms mean, in loops over any kind of number.

Elements may be floats, complex numbers or mpmath's: nothing but + - * / and comparisons is used, and square
roots and logarithms of mpmath. Matrices stand on the last two axes.
"""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Ints = tuple[int, ...]


def stacked(one: Callable[..., Array], *operands: Array) -> Array:
    """A function of matrices over broadcast leading axes."""
    lead = np.broadcast_shapes(*(x.shape[:-2] for x in operands))
    wide = [np.broadcast_to(x, (*lead, *x.shape[-2:])) for x in operands]
    results = [one(*(x[at] for x in wide)) for at in np.ndindex(*lead)]
    if not results:
        empty = one(*(np.ones(x.shape[-2:]) for x in operands))
        return np.zeros((*lead, *empty.shape))
    return np.array(results, dtype=results[0].dtype).reshape((*lead, *results[0].shape))


def cholesky(a: Array) -> Array:
    """Row by row (Golub and Van Loan, 4.2), of the symmetric part."""
    return stacked(_cholesky, a)


def _cholesky(a: Array) -> Array:
    a, n = (a + a.T) / 2, len(a)
    low = a * 0
    for i in range(n):
        for j in range(i + 1):
            rest = a[i, j] - sum(low[i, k] * low[j, k] for k in range(j))
            low[i, j] = mpmath.sqrt(rest) if i == j else rest / low[j, j]
    return low


def triangular_solve(a: Array, b: Array, *, lower: bool, transpose: bool, unit: bool) -> Array:
    """Elimination of the triangle written out as a full matrix."""

    def one(matrix: Array, right: Array) -> Array:
        n = len(matrix)
        full = matrix * 0
        for i in range(n):
            for j in range(n):
                if i == j:
                    full[i, j] = 1 if unit else matrix[i, j]
                elif (j < i) == lower:
                    full[i, j] = matrix[i, j]
        return _eliminate(full.T if transpose else full, right)[0]

    return stacked(one, a, b)


def solve(a: Array, b: Array) -> Array:
    """Gauss's elimination with row exchange."""
    return stacked(lambda matrix, right: _eliminate(matrix, right)[0], a, b)


def log_abs_det(a: Array) -> Array:
    """Sign and logarithm of the product of the pivots."""

    def one(matrix: Array) -> Array:
        pivots = _eliminate(matrix, matrix[:, :0])[1]
        sign, value = 1, mpmath.mpf(0)
        for pivot in pivots:
            sign *= -1 if pivot < 0 else 1
            value += mpmath.log(abs(pivot))
        return np.array([[sign * mpmath.mpf(1), value]], dtype=object)

    return stacked(one, a)[..., 0, :]


def _eliminate(a: Array, b: Array) -> tuple[Array, list[Any]]:
    a, b, n = a.copy(), b.copy(), len(a)
    pivots = []
    for k in range(n):
        best = max(range(k, n), key=lambda i: abs(a[i, k]))
        pivot = a[best, k]
        if best != k:
            a[[k, best]], b[[k, best]] = a[[best, k]], b[[best, k]]
        # the sign of an exchange goes into the pivot
        pivots.append(-pivot if best != k else pivot)
        for i in range(k + 1, n):
            factor = a[i, k] / a[k, k]
            a[i], b[i] = a[i] - factor * a[k], b[i] - factor * b[k]
    for k in reversed(range(n)):
        b[k] = (b[k] - sum(a[k, j] * b[j] for j in range(k + 1, n))) / a[k, k]
    return b, pivots


def eigh(a: Array) -> Array:
    """mpmath's eigenvalues; vectors with LAPACK's signs."""

    def one(matrix: Array) -> Array:
        both = (matrix + matrix.T) / 2
        if not both.size:
            return np.zeros((1, 0))
        w, v = mpmath.eigsy(mpmath.matrix(both.tolist()))
        vectors = _array(v)
        _, known = np.linalg.eigh(both.astype(float))
        return np.vstack([_array(w).reshape(1, -1), vectors * _signs(vectors, known)])

    return stacked(one, a)


def qr(a: Array) -> Array:
    """Gram and Schmidt's; vectors with LAPACK's signs."""

    def one(matrix: Array) -> Array:
        m, n = matrix.shape
        k = min(m, n)
        q = matrix[:, :k] * 0
        for j in range(k):
            x = matrix[:, j] - sum((q[:, i] * (q[:, i] @ matrix[:, j]) for i in range(j)), 0)
            q[:, j] = x / mpmath.sqrt(x @ x)
        q = q * _signs(q, np.linalg.qr(matrix.astype(float))[0])
        return np.vstack([q, (q.T @ matrix).T])

    return stacked(one, a)


def svd(a: Array) -> Array:
    """mpmath's eigenvectors of the smaller square; vectors with LAPACK's signs."""

    def one(matrix: Array) -> Array:
        m, n = matrix.shape
        if not matrix.size:
            return np.zeros((m + 1 + n, 0))
        tall = m >= n
        u_known, _, vh_known = np.linalg.svd(matrix.astype(float), full_matrices=False)
        x, known = (matrix, vh_known.T) if tall else (matrix.T, u_known)
        w, v = mpmath.eigsy(mpmath.matrix((x.T @ x).tolist()))
        small = _array(v)[:, ::-1]
        small = small * _signs(small, known)
        s = np.array([mpmath.sqrt(w[i]) for i in reversed(range(len(w)))], dtype=object)
        large = x @ small / s
        u, v_ = (large, small) if tall else (small, large)
        return np.vstack([u, s.reshape(1, -1), v_])

    return stacked(one, a)


def _array(m: Any) -> Array:
    return np.array(m.tolist(), dtype=object)


def _signs(found: Array, known: Array) -> Array:
    """1 or -1 a column."""
    return np.where(np.sum(found.astype(float) * known, axis=0) < 0, -1, 1)


def cum_sum(x: Array, *, axis: int, reverse: bool, exclusive: bool) -> Array:
    """One line at a time."""
    moved = np.moveaxis(x, axis, -1)
    out = np.zeros_like(moved)
    n = moved.shape[-1]
    for i in range(n):
        low, high = (i + exclusive, n) if reverse else (0, i + 1 - exclusive)
        for j in range(low, high):
            out[..., i] += moved[..., j]
    return np.moveaxis(out, -1, axis)


def unfold(x: Array, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints) -> Array:
    """One element at a time."""
    shape, places = _windows(x.shape, axes, sizes, strides, dilations)
    out = np.zeros(shape, x.dtype)
    for at, place in places:
        out[at] = x[place]
    return out


def fold(
    x: Array, *, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints, lengths: Ints
) -> Array:
    """One element at a time."""
    rank = x.ndim - len(lengths)
    shape = list(x.shape[:rank])
    for axis, length in zip(axes, lengths, strict=True):
        shape[axis] = length
    out = np.zeros(shape, x.dtype)
    for at, place in _windows(tuple(shape), axes, sizes, strides, dilations)[1]:
        out[place] += x[at]
    return out


def _windows(
    whole: Ints, axes: Ints, sizes: Ints, strides: Ints, dilations: Ints
) -> tuple[Ints, list[tuple[Ints, Ints]]]:
    shape = list(whole)
    for axis, size, stride, dilation in zip(axes, sizes, strides, dilations, strict=True):
        shape[axis] = len(range(0, whole[axis] - (size - 1) * dilation, stride))
    places = []
    for at in np.ndindex(*shape, *sizes):
        place = list(at[: len(whole)])
        for k, axis in enumerate(axes):
            place[axis] = place[axis] * strides[k] + at[len(whole) + k] * dilations[k]
        places.append((at, tuple(place)))
    return (*shape, *sizes), places


def dft(x: Array, *, axes: Ints, inverse: bool) -> Array:
    """The matrix of cosines and sines, one axis at a time."""
    for axis in axes:
        moved = np.moveaxis(x, axis, 0)
        n, out = len(moved), np.zeros_like(moved)
        for k in range(n):
            for j in range(n):
                angle = 2 * np.pi * (j * k % n) / n * (1 if inverse else -1)
                c, s = np.cos(angle), np.sin(angle)
                out[k, ..., 0] += c * moved[j, ..., 0] - s * moved[j, ..., 1]
                out[k, ..., 1] += s * moved[j, ..., 0] + c * moved[j, ..., 1]
        x = np.moveaxis(out, 0, axis)
    return x
