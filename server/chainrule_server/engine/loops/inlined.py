"""Checkpoint and CustomVjp: their inside is ordinary, only their derivative is not."""

from collections.abc import Sequence

from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, apply
from chainrule_server.engine.flat import inline
from chainrule_server.engine.loops.rule import Derive, Node, exprs, filled, float_positions, ids


class Checkpoint:
    """y = f(x), nothing of the inside kept: x_ct = vjp(f)(x, y_ct), with f computed again.

    The recomputed nodes hang on a Barrier; without it hash-consing would find the first ones and keep them.
    """

    def forward(self, b: Builder, node: Node, derive: Derive) -> tuple[tuple[int, ...], object]:
        """The body in place."""
        del derive
        return inline(b, node.body(), ids(node.operands)), None

    def vjp(
        self,
        b: Builder,
        node: Node,
        outputs: tuple[int, ...],
        inside: object,
        cts: Sequence[Expr | None],
        derive: Derive,
    ) -> list[Expr | None]:
        """Forward and backward of the body, behind barriers."""
        del inside
        body = node.body()
        wrt = float_positions(body.function.in_avals, node.active)
        outs = tuple(i for i, ct in enumerate(cts) if ct is not None)
        token = len(b)
        again = [apply("Barrier", x, token=token).id for x in node.operands]
        seeds = [cts[i].id for i in outs]  # type: ignore[union-attr]
        rows = inline(b, derive.vjp(body, wrt, outs), [*again, *seeds])
        found = dict(zip(wrt, exprs(b, rows[len(outputs) :]), strict=True))
        return [found.get(i) for i in range(len(node.operands))]

    def jvp(
        self, b: Builder, node: Node, tangents: Sequence[Expr | None], derive: Derive
    ) -> tuple[tuple[int, ...], list[Expr | None]]:
        """Forwards nothing is kept anyway."""
        return jvp_of_body(b, node, tangents, derive)


class CustomVjp:
    """y = f(x) with x_ct = rule(x, y_ct).

    The rule is linear in y_ct, so forwards its transpose gives the tangent:
        y_t = vjp(ct -> rule(x, ct)) applied to x_t
    """

    def forward(self, b: Builder, node: Node, derive: Derive) -> tuple[tuple[int, ...], object]:
        """The body in place."""
        del derive
        return inline(b, node.body(), ids(node.operands)), None

    def vjp(
        self,
        b: Builder,
        node: Node,
        outputs: tuple[int, ...],
        inside: object,
        cts: Sequence[Expr | None],
        derive: Derive,
    ) -> list[Expr | None]:
        """The rule in place."""
        del inside, derive
        outs = float_positions([b.aval(row) for row in outputs])
        seeds = filled(b, [cts[i] for i in outs], [Expr(b, outputs[i]) for i in outs])
        rows = inline(b, node.body("otherwise"), ids([*node.operands, *seeds]))
        wrt = float_positions(node.body().function.in_avals)
        found = dict(zip(wrt, exprs(b, rows), strict=True))
        return [found.get(i) for i in range(len(node.operands))]

    def jvp(
        self, b: Builder, node: Node, tangents: Sequence[Expr | None], derive: Derive
    ) -> tuple[tuple[int, ...], list[Expr | None]]:
        """The transpose of the rule."""
        body, rule = node.body(), node.body("otherwise")
        outputs = inline(b, body, ids(node.operands))
        wrt = float_positions(body.function.in_avals)
        outs = float_positions(body.function.out_avals)
        n = len(node.operands)
        # The rule is linear in its cotangents, so where its transpose is taken doesn't matter: at zero.
        at = filled(b, [None] * len(outs), [Expr(b, outputs[i]) for i in outs])
        given = filled(b, [tangents[i] for i in wrt], [node.operands[i] for i in wrt])
        seeds = tuple(range(n, n + len(outs)))
        transpose = derive.vjp(rule, seeds, tuple(range(len(wrt))))
        rows = inline(b, transpose, ids([*node.operands, *at, *given]))
        found = dict(zip(outs, exprs(b, rows[len(wrt) :]), strict=True))
        return outputs, [found.get(i) for i in range(len(outputs))]


def jvp_of_body(
    b: Builder, node: Node, tangents: Sequence[Expr | None], derive: Derive
) -> tuple[tuple[int, ...], list[Expr | None]]:
    """Value and tangent of the body, in place."""
    body = node.body()
    wrt = tuple(i for i, t in enumerate(tangents) if t is not None)
    outs = float_positions(body.function.out_avals)
    given = [t.id for t in tangents if t is not None]
    rows = inline(b, derive.jvp(body, wrt, outs), [*ids(node.operands), *given])
    n = len(body.function.outputs)
    found = dict(zip(outs, exprs(b, rows[n:]), strict=True))
    return rows[:n], [found.get(i) for i in range(n)]
