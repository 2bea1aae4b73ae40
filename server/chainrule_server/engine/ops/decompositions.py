"""Eigenvalues, QR and singular values; the factors of each lie in one array (see chainrule.ir.linalg).

Sources: Giles (2008), sections 3.1 and 3.2; Walter and Lehmann, "Algorithmic differentiation of linear
algebra functions with application in optimum experimental design" (2018); Townsend, "Differentiating the
singular value decomposition" (2016).

Degenerate cases. Where two eigenvalues (singular values) are equal, their vectors are not unique and have
no derivative: what turns them within their space is left out, as 0. So derivatives of functions that don't
depend on that choice are right, and none is NaN. The same holds for vectors that belong to the singular
value 0. A QR whose r has a 0 on its diagonal has no derivative: that is an error, as of a singular system.
The signs of vectors are LAPACK's.
"""

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.ir.expr import Expr, concat, equal, where
from chainrule.ir.matrices import (
    above,
    as_diagonal,
    below,
    columns,
    diagonal,
    eigh_parts,
    order,
    over_columns,
    over_rows,
    qr_parts,
    svd_parts,
    symmetric,
    triangular_solve,
)
from chainrule_server.engine.ops import lanes, lapack
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Bind,
    Footprint,
    Op,
    Thunk,
)

_FAILS = {"fails": "has a decomposition that did not converge", "cure": "scale it, or add noise"}


def _kernel(compute: lapack.Compute) -> Bind:
    def bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
        del attrs
        return lapack.guarded(compute, ins[0], out, **_FAILS)

    return bind


def _room(copies: int) -> Footprint:
    def workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
        del attrs
        return copies * (lapack.stack_bytes(inputs[0]) + out.nbytes)

    return workspace


def _eigh(a: Array, out: Array) -> None:
    both = a + lapack.flipped(a)
    both *= 0.5
    out[..., 0, :], out[..., 1:, :] = np.linalg.eigh(both)


def _eigh_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    # 4/3 n^3 to tridiagonal form, and about as much again, and more, for the vectors
    del out, attrs
    return 9 * inputs[0].size * inputs[0].dims[-1]


def _reciprocal(x: Expr) -> Expr:
    """1 / x, and 0 where x = 0; also differentiable there, to 0."""
    zero = equal(x, x.like(0))
    return where(zero, x.like(0), 1.0 / where(zero, x.like(1), x))


def _apart(w: Expr) -> Expr:
    """F_ij = 1 / (w_j - w_i), 0 where they are equal."""
    return _reciprocal(over_columns(w) - over_rows(w))


def _eigh_vjp(ct: Expr, out: Expr, a: Expr) -> tuple[Expr]:
    # a v = v diag(w):  a_ct = sym(v (diag(w_ct) + F * (v^T v_ct)) v^T)
    del a
    (w, v), (w_ct, v_ct) = eigh_parts(out), eigh_parts(ct)
    inner = as_diagonal(w_ct) + _apart(w) * (v.mT @ v_ct)
    return (symmetric(v @ inner @ v.mT),)


def _eigh_jvp(tangents: tuple[Expr], out: Expr, a: Expr) -> Expr:
    # d = v^T a_t v:  w_t = diag(d), v_t = v (F * d)
    del a
    w, v = eigh_parts(out)
    d = v.mT @ symmetric(tangents[0]) @ v
    return concat([over_columns(diagonal(d)), v @ (_apart(w) * d)], out.aval.rank - 2)


def _qr(a: Array, out: Array) -> None:
    q, r = np.linalg.qr(a)
    m = a.shape[-2]
    out[..., :m, :], out[..., m:, :] = q, lapack.flipped(r)


def _products(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    # 2 m n k to triangular form, as much for q
    del attrs
    return 4 * inputs[0].size * out.dims[-1]


def _over(x: Expr, r: Expr) -> Expr:
    """x r^-1, r upper triangular."""
    return triangular_solve(r, x.mT, lower=False, transpose=True).mT


def _qr_vjp(ct: Expr, out: Expr, a: Expr) -> tuple[Expr]:
    # a = q r, tall:  a_ct = (q_ct + q copy(M)) r^-T,  M = r r_ct^T - q_ct^T q, copy(M) its lower triangle
    # on both sides. Of a wide (a1, a2) = q (r1, r2) this is a1_ct, with q_ct + a2 r2_ct^T for q_ct, and
    # a2_ct = q r2_ct.
    m, n = order(a)
    (q, r), (q_ct, r_ct) = qr_parts(out, m), qr_parts(ct, m)
    a2_ct = None
    if n > m:
        r2_ct = columns(r_ct, m, n)
        a2_ct = q @ r2_ct
        q_ct = q_ct + columns(a, m, n) @ r2_ct.mT
        r, r_ct = columns(r, 0, m), columns(r_ct, 0, m)
    lower = r @ r_ct.mT - q_ct.mT @ q
    both = below(lower) + below(lower, -1).mT
    right = triangular_solve(r, (q_ct + q @ both).mT, lower=False).mT
    return (right if a2_ct is None else concat([right, a2_ct], a.aval.rank - 1),)


def _qr_jvp(tangents: tuple[Expr], out: Expr, a: Expr) -> Expr:
    # c = a_t r^-1, M = q^T c, W = skew part with M's lower triangle:  q_t = q (W - M) + c,  r_t = (M - W) r;
    # of a wide (a1, a2) this is for a1, and r2_t = q_t^T a2 + q^T a2_t
    (t,), (m, n) = tangents, order(a)
    q, r = qr_parts(out, m)
    r1 = columns(r, 0, m) if n > m else r
    c = _over(columns(t, 0, m) if n > m else t, r1)
    inner = q.mT @ c
    skew = below(inner, -1) - below(inner, -1).mT
    q_t = q @ (skew - inner) + c
    r_t = above((inner - skew) @ r1)
    if n > m:
        r2_t = q_t.mT @ columns(a, m, n) + q.mT @ columns(t, m, n)
        r_t = concat([r_t, r2_t], a.aval.rank - 1)
    return concat([q_t, r_t.mT], out.aval.rank - 2)


def _svd(a: Array, out: Array) -> None:
    u, s, vh = np.linalg.svd(a, full_matrices=False)
    m = a.shape[-2]
    out[..., :m, :], out[..., m, :], out[..., m + 1 :, :] = u, s, lapack.flipped(vh)


def _svd_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    # 14 m k^2 + 8 k^3 for both sets of vectors (Golub and Van Loan, 8.6.3)
    del attrs
    return 22 * inputs[0].size * out.dims[-1]


def _spread(s: Expr) -> Expr:
    """F_ij = 1 / (s_j^2 - s_i^2), 0 where they are equal."""
    row, column = over_rows(s), over_columns(s)
    return _reciprocal((column - row) * (column + row))


def _beyond(u: Expr, x: Expr) -> Expr:
    """The part of x outside the space of u's columns: (1 - u u^T) x."""
    return x - u @ (u.mT @ x)


def _svd_vjp(ct: Expr, out: Expr, a: Expr) -> tuple[Expr]:
    # a = u s v^T:  a_ct = u [ (F * skew(u^T u_ct)) s + s (F * skew(v^T v_ct)) + diag(s_ct) ] v^T
    #     + (1 - u u^T) u_ct s^-1 v^T + u s^-1 v_ct^T (1 - v v^T),   skew(x) = x - x^T
    m, n = order(a)
    (u, s, v), (u_ct, s_ct, v_ct) = svd_parts(out, m), svd_parts(ct, m)
    f, inverse = _spread(s), over_columns(_reciprocal(s))
    of_u, of_v = u.mT @ u_ct, v.mT @ v_ct
    inner = f * (of_u - of_u.mT) * over_columns(s) + over_rows(s) * (f * (of_v - of_v.mT))
    a_ct = u @ (inner + as_diagonal(s_ct)) @ v.mT
    if m > n:
        a_ct = a_ct + _beyond(u, u_ct * inverse) @ v.mT
    if n > m:
        a_ct = a_ct + u @ _beyond(v, v_ct * inverse).mT
    return (a_ct,)


def _svd_jvp(tangents: tuple[Expr], out: Expr, a: Expr) -> Expr:
    # d = u^T a_t v:  s_t = diag(d),  u_t = u (F * (d s + s d^T)) + (1 - u u^T) a_t v s^-1,
    #     v_t = v (F * (s d + d^T s)) + (1 - v v^T) a_t^T u s^-1
    (t,), (m, n) = tangents, order(a)
    u, s, v = svd_parts(out, m)
    f, inverse = _spread(s), over_columns(_reciprocal(s))
    d = u.mT @ t @ v
    right, left = d * over_columns(s), over_rows(s) * d
    u_t, v_t = u @ (f * (right + right.mT)), v @ (f * (left + left.mT))
    if m > n:
        u_t = u_t + _beyond(u, (t @ v) * inverse)
    if n > m:
        v_t = v_t + _beyond(v, (t.mT @ u) * inverse)
    return concat([u_t, over_columns(diagonal(d)), v_t], out.aval.rank - 2)


DECOMPOSITIONS = (
    Op(
        "Eigh",
        _kernel(_eigh),
        _eigh_vjp,
        _eigh_jvp,
        _eigh_cost,
        _room(3),
        batching=lanes.leading("Eigh"),
    ),
    Op("QR", _kernel(_qr), _qr_vjp, _qr_jvp, _products, _room(3), batching=lanes.leading("QR")),
    Op(
        "SVD",
        _kernel(_svd),
        _svd_vjp,
        _svd_jvp,
        _svd_cost,
        _room(4),
        batching=lanes.leading("SVD"),
    ),
)
