"""Cond: y = f(x) if p else g(x), so y_ct goes through the branch that was taken."""

from collections.abc import Sequence

from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule_server.engine.flat import Flat, define, tail
from chainrule_server.engine.loops.rule import Derive, Node, exprs, float_positions, ids


class Cond:
    """Both derivatives are a Cond of the branches' derivatives."""

    def forward(self, b: Builder, node: Node, derive: Derive) -> tuple[tuple[int, ...], object]:
        """The node as it is: a branch recomputes what its derivative needs."""
        del derive
        return _emit(b, node.operands, node.body(), node.body("otherwise")), None

    def vjp(
        self,
        b: Builder,
        node: Node,
        outputs: tuple[int, ...],
        inside: object,
        cts: Sequence[Expr | None],
        derive: Derive,
    ) -> list[Expr | None]:
        """p, x, y_ct -> x_ct of the branch taken."""
        del outputs, inside
        body = node.body()
        wrt = float_positions(body.function.in_avals, node.active[1:])
        outs = tuple(i for i, ct in enumerate(cts) if ct is not None)
        branches = [
            tail(derive.vjp(branch, wrt, outs), len(branch.function.outputs))
            for branch in (body, node.body("otherwise"))
        ]
        seeds = [ct for ct in cts if ct is not None]
        rows = _emit(b, (*node.operands, *seeds), *branches)
        found = dict(zip(wrt, exprs(b, rows), strict=True))
        return [None, *(found.get(i) for i in range(len(node.operands) - 1))]

    def jvp(
        self, b: Builder, node: Node, tangents: Sequence[Expr | None], derive: Derive
    ) -> tuple[tuple[int, ...], list[Expr | None]]:
        """p, x, x_t -> y, y_t of the branch taken."""
        body = node.body()
        wrt = tuple(i for i, t in enumerate(tangents[1:]) if t is not None)
        outs = float_positions(body.function.out_avals)
        branches = [derive.jvp(branch, wrt, outs) for branch in (body, node.body("otherwise"))]
        given = [t for t in tangents[1:] if t is not None]
        rows = _emit(b, (*node.operands, *given), *branches)
        n = len(body.function.outputs)
        found = dict(zip(outs, exprs(b, rows[n:]), strict=True))
        return rows[:n], [found.get(i) for i in range(n)]


def _emit(b: Builder, operands: Sequence[Expr], yes: Flat, no: Flat) -> tuple[int, ...]:
    return b.add_multi("Cond", *ids(operands), function=define(b, yes), otherwise=define(b, no))
