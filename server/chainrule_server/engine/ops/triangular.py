"""Cholesky's factor and triangular systems.

Sources: Murray, "Differentiation of the Cholesky decomposition" (2016); Giles, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation" (2008).
"""

import numpy as np

from chainrule.errors import ErrorCode, NumericError, Unsupported
from chainrule.ir.avals import Aval
from chainrule.ir.expr import Expr
from chainrule.ir.matrices import above, below, half_below, symmetric, triangular_solve
from chainrule_server.engine.ops import lanes, lapack
from chainrule_server.engine.ops.table import Array, Arrays, AttrMap, Op, Tangents, Thunk

# Rows solved one by one before the next ones are updated by one matrix product.
_BLOCK = 32


def _bind_cholesky(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    del attrs
    return lapack.guarded(
        _factorise,
        ins[0],
        out,
        fails="is not positive definite",
        cure="add a small multiple of the identity to it",
    )


def _factorise(a: Array, out: Array) -> None:
    # of the symmetric part: so the function is one of all elements, and its derivative is symmetric
    both = a + lapack.flipped(a)
    both *= 0.5
    np.copyto(out, np.linalg.cholesky(both))


def _cholesky_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del attrs
    return 2 * lapack.stack_bytes(inputs[0]) + out.nbytes


def _cholesky_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    del inputs, attrs
    return out.size * (out.dims[-1] // 3 + 2) if out.rank else 0


def _cholesky_vjp(ct: Expr, out: Expr, a: Expr) -> tuple[Expr]:
    # l l^T = a:  a_ct = sym(l^-T P l^-1),  P = lower triangle of l^T l_ct with half of its diagonal
    del a
    p = half_below(out.mT @ ct)
    left = triangular_solve(out, p, transpose=True)
    return (symmetric(triangular_solve(out, left.mT, transpose=True)),)


def _cholesky_jvp(tangents: tuple[Expr], out: Expr, a: Expr) -> Expr:
    # l_t = l P,  P = lower triangle of l^-1 a_t l^-T with half of its diagonal
    del a
    left = triangular_solve(out, symmetric(tangents[0]))
    return out @ half_below(triangular_solve(out, left.mT))


def _bind_triangular(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    a, b = ins
    if a.dtype not in (np.float64, np.float32):
        raise Unsupported(
            f"a triangular system in {a.dtype}",
            code=ErrorCode.UNSUPPORTED,
            cure="cast to float32 first",
        )
    lower, unit = bool(attrs["lower"]), bool(attrs["unit"])
    if attrs["transpose"]:
        a, lower = lapack.flipped(a), not lower
    diagonal = np.diagonal(a, axis1=-2, axis2=-1)

    def run() -> None:
        if not out.size:
            return
        if not unit and np.count_nonzero(diagonal) != diagonal.size:
            raise NumericError(
                "a triangular matrix has a 0 on its diagonal, so it is singular",
                code=ErrorCode.NUMERIC_FAILURE,
                cure="add a small multiple of the identity to it",
            )
        np.copyto(out, b)
        if lower:
            _substitute(np.ascontiguousarray(a), out, unit)
            return
        # an upper system is a lower one with unknowns and equations in reverse order
        turned = np.ascontiguousarray(a[..., ::-1, ::-1])
        x = np.ascontiguousarray(out[..., ::-1, :])
        _substitute(turned, x, unit)
        np.copyto(out, x[..., ::-1, :])

    return run


def _substitute(a: Array, x: Array, unit: bool) -> None:
    """Forward substitution in place: x_i = (b_i - sum over j < i of a_ij x_j) / a_ii."""
    n = a.shape[-1]
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        if start:
            x[..., start:stop, :] -= a[..., start:stop, :start] @ x[..., :start, :]
        for i in range(start, stop):
            row = x[..., i : i + 1, :]
            if i > start:
                row -= a[..., i : i + 1, start:i] @ x[..., start:i, :]
            if not unit:
                row /= a[..., i : i + 1, i : i + 1]


def _triangular_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    # the matrix and the solution turned round, products of a block of rows and of a row, and buffers
    del attrs
    a = inputs[0]
    rows = out.shape[-2] if out.ndim else 1
    block = out.nbytes * min(_BLOCK, rows) // max(rows, 1)
    return a.size * a.itemsize + out.nbytes + 3 * block + 4 * np.getbufsize() * a.itemsize


def _triangular_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    del attrs
    return out.size * (inputs[0].dims[-1] + 1)


def _used(m: Expr, lower: bool, unit: bool) -> Expr:
    """The triangle that is read."""
    offset = 1 if unit else 0
    return below(m, -offset) if lower else above(m, offset)


def _triangular_vjp(
    ct: Expr, out: Expr, a: Expr, b: Expr, *, lower: bool, transpose: bool, unit: bool
) -> tuple[Expr, Expr]:
    # a x = b:  b_ct = a^-T x_ct,  a_ct = the triangle of -b_ct x^T;  a^T x = b:  a_ct = that of -x b_ct^T
    del b
    b_ct = triangular_solve(a, ct, lower=lower, transpose=not transpose, unit=unit)
    product = out @ b_ct.mT if transpose else b_ct @ out.mT
    return -_used(product, lower, unit), b_ct


def _triangular_jvp(
    tangents: Tangents,
    out: Expr,
    a: Expr,
    b: Expr,
    *,
    lower: bool,
    transpose: bool,
    unit: bool,
) -> Expr | None:
    # a x_t = b_t - a_t x
    del b
    a_t, b_t = tangents
    right = b_t
    if a_t is not None:
        used = _used(a_t, lower, unit)
        moved = (used.mT if transpose else used) @ out
        right = -moved if right is None else right - moved
    if right is None:
        return None
    return triangular_solve(a, right, lower=lower, transpose=transpose, unit=unit)


TRIANGULAR = (
    Op(
        "Cholesky",
        _bind_cholesky,
        _cholesky_vjp,
        _cholesky_jvp,
        _cholesky_cost,
        _cholesky_workspace,
        batching=lanes.leading("Cholesky"),
    ),
    Op(
        "TriangularSolve",
        _bind_triangular,
        _triangular_vjp,
        _triangular_jvp,
        _triangular_cost,
        _triangular_workspace,
        linear=((1,),),
        batching=lanes.broadcasting("TriangularSolve", kept=2),
    ),
)
