"""Expressions of linear algebra: the matrix primitives, their factors, and masks and diagonals of matrices.

Matrices stand on the last two axes of a value.
"""

from typing import cast

from chainrule.ir.avals import Dim, DType
from chainrule.ir.expr import Expr, apply, equal, expand, less, reduce_sum, reshape, slice_, where


def cholesky(a: Expr) -> Expr:
    """The lower l with l l^T = (a + a^T) / 2."""
    return apply("Cholesky", a)


def triangular_solve(
    a: Expr, b: Expr, *, lower: bool = True, transpose: bool = False, unit: bool = False
) -> Expr:
    """x with a x = b (a^T x = b), of a triangular a; what stands in the other triangle is not read."""
    return apply("TriangularSolve", a, b, lower=lower, transpose=transpose, unit=unit)


def solve(a: Expr, b: Expr) -> Expr:
    """x with a x = b."""
    return apply("Solve", a, b)


def log_abs_det(a: Expr) -> tuple[Expr, Expr]:
    """Sign and logarithm of the absolute value of the determinant."""
    both = apply("LogAbsDet", a)
    shape = both.shape[:-1]
    return reshape(part(both, 0, 1), shape), reshape(part(both, 1, 2), shape)


def eigh(a: Expr) -> tuple[Expr, Expr]:
    """Eigenvalues, ascending, and eigenvectors as columns, of the symmetric part of a."""
    return eigh_parts(apply("Eigh", a))


def qr(a: Expr) -> tuple[Expr, Expr]:
    """q with orthonormal columns and r upper triangular: a = q r."""
    return qr_parts(apply("QR", a), order(a)[0])


def svd(a: Expr) -> tuple[Expr, Expr, Expr]:
    """u, s, v with a = u diag(s) v^T; s descending."""
    return svd_parts(apply("SVD", a), order(a)[0])


def eigh_parts(packed: Expr) -> tuple[Expr, Expr]:
    """w and v of an Eigh, or their cotangents."""
    n = order(packed)[0]
    return _row(packed, 0), rows(packed, 1, n)


def qr_parts(packed: Expr, m: int) -> tuple[Expr, Expr]:
    """q and r of the QR of a matrix with m rows, or their cotangents."""
    return rows(packed, 0, m), rows(packed, m, order(packed)[0]).mT


def svd_parts(packed: Expr, m: int) -> tuple[Expr, Expr, Expr]:
    """u, s and v of the SVD of a matrix with m rows, or their cotangents."""
    return rows(packed, 0, m), _row(packed, m), rows(packed, m + 1, order(packed)[0])


def order(a: Expr) -> tuple[int, int]:
    """Rows and columns."""
    return cast(tuple[int, int], a.shape[-2:])


def rows(a: Expr, start: int, stop: int) -> Expr:
    """Some rows of a matrix."""
    return _cut(a, a.aval.rank - 2, start, stop)


def columns(a: Expr, start: int, stop: int) -> Expr:
    """Some columns of a matrix."""
    return _cut(a, a.aval.rank - 1, start, stop)


def part(a: Expr, start: int, stop: int) -> Expr:
    """Some places of the last axis."""
    return _cut(a, a.aval.rank - 1, start, stop)


def identity(like: Expr, n: int) -> Expr:
    """The identity of order n, in the dtype of another value."""
    row, column = _indices(like, n)
    return where(equal(row, column), like.like(1), like.like(0))


def below(a: Expr, offset: int = 0) -> Expr:
    """The lower triangle of a square matrix, its diagonal included for offset 0, left out for -1."""
    row, column = _indices(a, order(a)[0])
    beyond = less(row, column) if offset == 0 else apply("Not", less(column, row))
    return where(beyond, a.like(0), a)


def above(a: Expr, offset: int = 0) -> Expr:
    """The upper triangle, its diagonal included for offset 0, left out for 1."""
    return below(a.mT, -offset).mT


def half_below(a: Expr) -> Expr:
    """The lower triangle with half of the diagonal."""
    row, column = _indices(a, order(a)[0])
    lower = where(less(column, row), a, a.like(0))
    return where(equal(row, column), a * 0.5, lower)


def symmetric(a: Expr) -> Expr:
    """(a + a^T) / 2."""
    return (a + a.mT) * 0.5


def diagonal(a: Expr) -> Expr:
    """The diagonal (..., n) of a square matrix."""
    row, column = _indices(a, order(a)[0])
    return reduce_sum(where(equal(row, column), a, a.like(0)), (a.aval.rank - 1,))


def as_diagonal(d: Expr) -> Expr:
    """The matrix with d (..., n) on its diagonal."""
    n = cast(int, d.shape[-1])
    row, column = _indices(d, n)
    wide = expand(reshape(d, (*d.shape[:-1], n, 1)), (*d.shape[:-1], n, n))
    return where(equal(row, column), wide, d.like(0))


def over_columns(d: Expr) -> Expr:
    """d (..., n) as (..., 1, n): a factor an column."""
    return reshape(d, (*d.shape[:-1], 1, d.shape[-1]))


def over_rows(d: Expr) -> Expr:
    """d (..., n) as (..., n, 1): a factor a row."""
    return reshape(d, (*d.shape, 1))


def _row(a: Expr, at: int) -> Expr:
    """One row (..., n)."""
    return reshape(rows(a, at, at + 1), (*a.shape[:-2], a.shape[-1]))


def _cut(a: Expr, axis: int, start: int, stop: int) -> Expr:
    starts: list[Dim] = [0] * a.aval.rank
    stops: list[Dim] = list(a.shape)
    if (start, stop) == (0, stops[axis]):
        return a
    starts[axis], stops[axis] = start, stop
    return slice_(a, starts, stops, [1] * a.aval.rank)


def _indices(like: Expr, n: int) -> tuple[Expr, Expr]:
    """Row numbers (n, 1) and column numbers (1, n)."""
    b = like.b
    return (
        Expr(b, b.add("Iota", dtype=DType.INT64, shape=(n, 1), axis=0)),
        Expr(b, b.add("Iota", dtype=DType.INT64, shape=(1, n), axis=1)),
    )
