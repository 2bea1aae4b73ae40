"""Linear systems and determinants.

Source: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation"
(2008), sections 2.2.2 and 2.3.1.
"""

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.ir.expr import Expr, concat, reduce_sum, reshape, zeros
from chainrule.ir.matrices import diagonal, identity, order, over_rows, part, solve
from chainrule_server.engine.ops import lanes, lapack
from chainrule_server.engine.ops.table import Array, Arrays, AttrMap, Op, Tangents, Thunk

_CURE = "add a small multiple of the identity to it, or leave out dependent rows"


def _bind_solve(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    del attrs
    a, b = ins
    lead = out.shape[:-2]
    # NumPy before 2 takes a right side with one axis less for a stack of vectors
    return lapack.guarded(
        _solve,
        np.broadcast_to(a, (*lead, *a.shape[-2:])),
        np.broadcast_to(b, (*lead, *b.shape[-2:])),
        out,
        fails="is singular",
        cure=_CURE,
    )


def _solve(a: Array, b: Array, out: Array) -> None:
    np.copyto(out, np.linalg.solve(a, b))


def _solve_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del attrs
    a, b = inputs
    n = a.shape[-1]
    repeated = (
        out.size // max(b.shape[-1], 1) * n
    )  # elements of a, once for each matrix of the output
    one = (n * n + n * b.shape[-1] + lapack.PANEL * n + n) * out.itemsize
    return int(2 * out.nbytes + repeated * (1 + out.itemsize) + one)


def _solve_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    # 2/3 n^3 to factorise, 2 n^2 a column
    del attrs
    n, columns = inputs[0].dims[-1], out.dims[-1]
    stack = out.size // max(n * columns, 1)
    return stack * (2 * n**3 // 3 + 2 * n * n * columns)


def _solve_vjp(ct: Expr, out: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    # a x = b:  b_ct = a^-T x_ct,  a_ct = -b_ct x^T
    del b
    b_ct = solve(a.mT, ct)
    return -(b_ct @ out.mT), b_ct


def _solve_jvp(tangents: Tangents, out: Expr, a: Expr, b: Expr) -> Expr | None:
    # a x_t = b_t - a_t x
    del b
    a_t, b_t = tangents
    right = b_t
    if a_t is not None:
        right = -(a_t @ out) if right is None else right - a_t @ out
    return None if right is None else solve(a, right)


def _bind_log_abs_det(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    del attrs
    return lapack.guarded(_log_abs_det, ins[0], out[..., None], fails="has no determinant", cure="")


def _log_abs_det(a: Array, out: Array) -> None:
    sign, value = np.linalg.slogdet(a)
    out[..., 0, 0], out[..., 1, 0] = sign, value


def _log_abs_det_workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del attrs
    return lapack.stack_bytes(inputs[0]) + 2 * out.nbytes


def _log_abs_det_cost(inputs: tuple[Aval, ...], out: Aval, attrs: AttrMap) -> int:
    del out, attrs
    (a,) = inputs
    return a.size * (2 * a.dims[-1] // 3 + 1)


def _log_abs_det_vjp(ct: Expr, out: Expr, a: Expr) -> tuple[Expr]:
    # y = log |det a|:  a_ct = y_ct a^-T;  the sign is piecewise constant
    del out
    y_ct = over_rows(part(ct, 1, 2))
    return (y_ct * solve(a.mT, identity(a, order(a)[0])),)


def _log_abs_det_jvp(tangents: tuple[Expr], out: Expr, a: Expr) -> Expr:
    # y_t = trace(a^-1 a_t)
    trace = diagonal(solve(a, tangents[0]))
    value = reshape(reduce_sum(trace, (trace.aval.rank - 1,)), (*out.shape[:-1], 1))
    nothing = zeros(a.b, value.aval)
    return concat([nothing, value], out.aval.rank - 1)


SOLVING = (
    Op(
        "Solve",
        _bind_solve,
        _solve_vjp,
        _solve_jvp,
        _solve_cost,
        _solve_workspace,
        linear=((1,),),
        batching=lanes.broadcasting("Solve", kept=2),
    ),
    Op(
        "LogAbsDet",
        _bind_log_abs_det,
        _log_abs_det_vjp,
        _log_abs_det_jvp,
        _log_abs_det_cost,
        _log_abs_det_workspace,
        batching=lanes.leading("LogAbsDet"),
    ),
)
