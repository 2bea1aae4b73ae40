"""FixedPoint: x = f(c, x), differentiated by the implicit function theorem; nothing of the iteration is kept.

With J = df/dx at the solution,
    vjp   u = x_ct + J^T u,        c_ct = (df/dc)^T u
    jvp   x_t = J x_t + (df/dc) c_t
Each of these is a fixed point again, so any order of derivative is.
"""

from collections.abc import Sequence
from typing import cast

from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule_server.engine.flat import Flat, define, finish, inline, tail
from chainrule_server.engine.loops.rule import Derive, Node, exprs, filled, float_positions, ids


class FixedPoint:
    """The rule; see the module."""

    def forward(self, b: Builder, node: Node, derive: Derive) -> tuple[tuple[int, ...], object]:
        """The node as it is."""
        del derive
        attrs = {k: v for k, v in node.attrs.items() if k != "function"}
        function = define(b, node.body())
        return b.add_multi("FixedPoint", *ids(node.operands), function=function, **attrs), None

    def vjp(
        self,
        b: Builder,
        node: Node,
        outputs: tuple[int, ...],
        inside: object,
        cts: Sequence[Expr | None],
        derive: Derive,
    ) -> list[Expr | None]:
        """Solve for u, then one vjp of the body."""
        del inside
        body, nc = node.body(), cast(int, node.attrs["n_consts"])
        ns = len(node.operands) - nc
        consts, solution = node.operands[:nc], exprs(b, outputs[:ns])
        seeds = filled(b, cts[:ns], solution)
        every, states = tuple(range(ns)), tuple(range(nc, nc + ns))
        transposed = tail(derive.vjp(body, states, every), ns)
        u = _solve(b, node, transposed, (*consts, *solution), seeds, seeds)
        wrt = float_positions(body.function.in_avals[:nc], node.active[:nc])
        if not wrt:
            return [None] * len(node.operands)
        rows = inline(b, derive.vjp(body, wrt, every), ids([*consts, *solution, *u]))
        found = dict(zip(wrt, exprs(b, rows[ns:]), strict=True))
        return [found.get(i) for i in range(len(node.operands))]

    def jvp(
        self, b: Builder, node: Node, tangents: Sequence[Expr | None], derive: Derive
    ) -> tuple[tuple[int, ...], list[Expr | None]]:
        """One jvp of the body for the right-hand side, then solve."""
        outputs, _ = self.forward(b, node, derive)
        body, nc = node.body(), cast(int, node.attrs["n_consts"])
        ns = len(node.operands) - nc
        consts, solution = node.operands[:nc], exprs(b, outputs[:ns])
        given = [i for i in range(nc) if tangents[i] is not None]
        none: list[Expr | None] = [None] * len(outputs)
        if not given:
            return outputs, none
        every, states = tuple(range(ns)), tuple(range(nc, nc + ns))
        push = derive.jvp(body, given, every)
        seeds = [t for t in tangents[:nc] if t is not None]
        right = exprs(b, inline(b, push, ids([*consts, *solution, *seeds]))[ns:])
        forward = tail(derive.jvp(body, states, every), ns)
        found = _solve(b, node, forward, (*consts, *solution), right, right)
        return outputs, [*found, None, None]


def _solve(
    b: Builder,
    node: Node,
    linear: Flat,
    at: Sequence[Expr],
    right: Sequence[Expr],
    start: Sequence[Expr],
) -> list[Expr]:
    """u = right + linear(at, u), to the tolerance of the adjoint."""
    inner = Builder()
    avals = [e.aval for e in (*at, *right, *start)]
    rows = [inner.input(f"v{i}", aval) for i, aval in enumerate(avals)]
    n, k = len(at), len(right)
    moved = inline(inner, linear, [*rows[:n], *rows[n + k :]])
    sums = [inner.add("Add", r, m) for r, m in zip(rows[n : n + k], moved, strict=True)]
    body = finish(inner, sums, [f"o{i}" for i in range(k)], "adjoint")
    attrs = dict(node.attrs)
    found = b.add_multi(
        "FixedPoint",
        *ids([*at, *right, *start]),
        function=define(b, body),
        n_consts=n + k,
        max_iter=attrs["adjoint_max_iter"],
        tol=attrs["adjoint_tol"],
        adjoint_max_iter=attrs["adjoint_max_iter"],
        adjoint_tol=attrs["adjoint_tol"],
        per_example=attrs["per_example"],
    )
    return exprs(b, found[:k])
