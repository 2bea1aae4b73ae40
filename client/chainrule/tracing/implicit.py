"""Values that an equation defines: `fixed_point` and `root`, differentiated by the implicit function theorem.

Nothing of the iteration is kept, so the memory of a derivative doesn't depend on how many steps it took.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval, DType
from chainrule.tracing.bodies import emit_structure, share_closures
from chainrule.tracing.carries import Carry
from chainrule.tracing.lanes import jacfwd
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, emit, inside
from chainrule.tracing.refusals import refuse


def fixed_point(
    f: Callable[[Any], Any],
    x0: Any,
    max_iter: int = 100,
    tol: float = 1e-8,
    adjoint_tol: float | None = None,
    adjoint_max_iter: int | None = None,
    per_example: bool = False,
) -> Any:
    """x with x = f(x), found by Anderson's method from x0.

    What f closes over is differentiated, to any order; x0 is not, since the solution doesn't depend on it.
    An iteration ends when the largest |f(x) - x| is within tol, relative to the largest |f(x)| above 1.

    Args:
        f: a map that contracts near its solution; shapes and dtypes as x0.
        x0: where it begins, a tree of arrays.
        max_iter, tol: of the iteration. In float32 give a tolerance of 1e-6 or more.
        adjoint_tol, adjoint_max_iter: of the linear equation that a derivative solves; by default the same.
        per_example: each row of the leading axis is an iteration of its own, frozen when it has converged,
            so that an example's bits don't depend on its neighbours.

    Raises:
        TraceError: settings out of range, or another structure.
        ShapeMismatch: f changes shape or dtype; names the leaf.

    When the server runs it, NotConverged names the node and the line.
    """
    inside("fixed_point")
    settings = {
        "max_iter": _whole(max_iter, "max_iter"),
        "tol": _positive(tol, "tol"),
        "adjoint_max_iter": _whole(
            max_iter if adjoint_max_iter is None else adjoint_max_iter, "adjoint_max_iter"
        ),
        "adjoint_tol": _positive(tol if adjoint_tol is None else adjoint_tol, "adjoint_tol"),
        "per_example": bool(per_example),
    }
    carry = Carry(x0, "x0", only_float=True)
    body = carry.body(f)
    consts = share_closures(body, after=0)
    avals = (*body.out_avals, Aval(DType.INT64, ()), Aval(DType.FLOAT64, ()))
    attrs = {"n_consts": len(consts), **settings}
    found = emit_structure("FixedPoint", body, [*consts, *carry.values], attrs, avals)
    return rebuild(x0, found[:-2])


def root(
    g: Callable[[Any], Any],
    x0: Any,
    max_iter: int = 50,
    tol: float = 1e-10,
    step: Callable[[Any], Any] | None = None,
    adjoint_tol: float | None = None,
    adjoint_max_iter: int | None = None,
) -> Any:
    """x with g(x) = 0, from x0 by Newton's method: the fixed point of x - J(x)^-1 g(x).

    At the root the derivative of that map in x is zero and in what g closes over it is -J^-1 dg, which is the
    implicit function theorem: so every order of derivative is the fixed point's, and its linear equation is
    solved in one step.

    Args:
        g: gives as many numbers as x0 has. What it closes over is differentiated.
        x0: where it begins, a tree of arrays; J is formed and solved densely, n x n for n numbers.
        max_iter, tol, adjoint_tol, adjoint_max_iter: as `fixed_point`; a residual is a Newton step.
        step: a map with the same solutions to use instead of Newton's, for many unknowns:
            `step=lambda x: x - 0.1 * g(x)`. It has to contract, and it is what is differentiated.

    Raises:
        TraceError: g gives another number of values than x0 has.
    """
    inside("root")
    return fixed_point(
        _newton(g) if step is None else step, x0, max_iter, tol, adjoint_tol, adjoint_max_iter
    )


def _newton(g: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def newton(x: Any) -> Any:
        flat, back = _flat(x)

        def residual(v: Any) -> Any:
            return _flat(g(back(v)))[0]

        value = residual(flat)
        n = flat.shape[0]
        if value.shape != (n,):
            raise refuse(
                f"the function of cr.root gives {value.shape[0]} numbers for {n} unknowns",
                "give as many equations as unknowns",
            )
        jacobian = jacfwd(residual)(flat)
        return back(flat - emit("Solve", jacobian, value[:, None])[:, 0])

    return newton


def _flat(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """The numbers of a tree in one row, and the way back."""
    leaves = [as_tracer(leaf) for _, leaf in leaves_of(tree, "x")]
    sizes = [prod(t.shape) for t in leaves]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    row = np.concatenate([np.reshape(t, -1) for t in leaves])

    def back(v: Any) -> Any:
        parts = [v[s : s + k] for s, k in zip(starts, sizes, strict=True)]
        return rebuild(tree, [np.reshape(p, t.shape) for p, t in zip(parts, leaves, strict=True)])

    return row, back


def _whole(value: int, name: str) -> int:
    if not isinstance(value, int | np.integer) or not 1 <= value <= 1_000_000:
        raise refuse(f"{name}={value!r}", "give a number of steps from 1 to 1000000")
    return int(value)


def _positive(value: float, name: str) -> float:
    if not 0 <= float(value) < np.inf:
        raise refuse(f"{name}={value!r}", "give a small positive number")
    return float(value)
