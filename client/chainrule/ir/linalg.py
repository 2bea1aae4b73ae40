"""Shape rules of linear algebra; every matrix stands on the last two axes, all axes before are a batch.

A decomposition with several factors gives them in one array, so it is one node with one cotangent, and the
factors are views of it:

    LogAbsDet (..., n, n) -> (..., 2)         sign, log |det|
    Eigh      (..., n, n) -> (..., 1+n, n)    row of w, then v:  a v = v diag(w)
    QR        (..., m, n) -> (..., m+n, k)    q, then r^T:       a = q r,              k = min(m, n)
    SVD       (..., m, n) -> (..., m+1+n, k)  u, row of s, v:    a = u diag(s) v^T
"""

from chainrule.ir.avals import Aval, BatchDim, Dim, check_shape, shape_text
from chainrule.ir.rules import AttrMap, Avals, broadcast, mismatch, require, same_dtype


def matrix(aval: Aval) -> tuple[int, int]:
    """Rows and columns of a matrix op's operand; neither is a batch axis."""
    require(aval, "float")
    if aval.rank < 2:
        raise mismatch(f"{aval} is no matrix", cure="give it two axes")
    rows, columns = aval.shape[-2:]
    if isinstance(rows, BatchDim) or isinstance(columns, BatchDim):
        raise mismatch(
            f"{aval} has its examples along a matrix axis",
            cure="a matrix an example has the batch axis in front",
        )
    return rows, columns


def square(aval: Aval) -> int:
    """The order of a square matrix."""
    rows, columns = matrix(aval)
    if rows != columns:
        raise mismatch(f"{shape_text(aval.shape)} is not square", cure="give a square matrix")
    return rows


def cholesky(avals: Avals, attrs: AttrMap) -> Avals:
    """Cholesky: lower triangular factor of the symmetric part."""
    del attrs
    square(avals[0])
    return avals


def solve(avals: Avals, attrs: AttrMap) -> Avals:
    """Solve and TriangularSolve: (..., n, n), (..., n, m) -> (..., n, m), leading axes broadcast."""
    del attrs
    dtype, (a, b) = same_dtype(avals), avals
    n = square(a)
    if matrix(b)[0] != n:
        raise mismatch(
            f"{shape_text(a.shape)} x = {shape_text(b.shape)}: {n} equations, {b.shape[-2]} rows",
            cure="give the right side one row an equation, as a matrix",
        )
    lead = broadcast(a.shape[:-2], b.shape[:-2])
    return (Aval(dtype, check_shape((*lead, *b.shape[-2:]))),)


def log_abs_det(avals: Avals, attrs: AttrMap) -> Avals:
    """LogAbsDet: sign and log of the absolute value, on a last axis of length 2."""
    del attrs
    square(avals[0])
    return (_with(avals[0], (2,)),)


def eigh(avals: Avals, attrs: AttrMap) -> Avals:
    """Eigh: eigenvalues in ascending order, then the eigenvectors as columns."""
    del attrs
    n = square(avals[0])
    return (_with(avals[0], (n + 1, n)),)


def qr(avals: Avals, attrs: AttrMap) -> Avals:
    """QR, reduced."""
    del attrs
    rows, columns = matrix(avals[0])
    return (_with(avals[0], (rows + columns, min(rows, columns))),)


def svd(avals: Avals, attrs: AttrMap) -> Avals:
    """SVD, thin; singular values in descending order."""
    del attrs
    rows, columns = matrix(avals[0])
    return (_with(avals[0], (rows + 1 + columns, min(rows, columns))),)


def _with(aval: Aval, tail: tuple[Dim, ...]) -> Aval:
    return Aval(aval.dtype, check_shape((*aval.shape[:-2], *tail)))
