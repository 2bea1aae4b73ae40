"""A vjp rule as mathematics: `ct * cos(x)`, printed from the graph that the rule emits."""

from collections.abc import Sequence

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule.ir.graph import Node
from chainrule_server.engine.ops import OPS

_INFIX = {"Add": "+", "Sub": "-", "Mul": "*", "Div": "/", "MatMul": "@"}
_BINDING = {"Add": 1, "Sub": 1, "Mul": 2, "Div": 2, "MatMul": 2}
_MAX_TEXT = 160


def rule_text(
    node: Node, in_avals: Sequence[Aval], operands: Sequence[str] = ()
) -> tuple[str, ...]:
    """One formula an operand, "" where the rule sends nothing.

    Args:
        node: whose rule it is; its value is called out.
        in_avals: of its operands.
        operands: what to call them; x, y, z by default.
    """
    rule = OPS[node.op].vjp if node.op in OPS else None
    if not callable(rule):
        # a loop: its rule is a loop of its own
        return ("vjp of the body",) * len(in_avals) if rule is None else ("",) * len(in_avals)
    b = Builder()
    names = ["ct", "out", *(operands or _operand_names(len(in_avals)))]
    avals = (node.aval, node.aval, *in_avals)
    rows = [b.input(f"i{k}", aval) for k, aval in enumerate(avals)]
    ct, out, *inputs = (Expr(b, row) for row in rows)
    sent = rule(ct, out, *inputs, **dict(node.attrs))
    return tuple("" if e is None else _formula(b, e.id, names)[0][:_MAX_TEXT] for e in sent)


def _operand_names(count: int) -> list[str]:
    return ["x", "y", "z"][:count] if count <= 3 else [f"x{i}" for i in range(count)]


def _formula(b: Builder, row: int, names: Sequence[str]) -> tuple[str, int]:
    """Text and how tightly it binds. Rules are a few nodes deep, so recursion is bounded."""
    op = b.op(row)
    if row < len(names):
        return names[row], 9
    attrs = dict(b.attrs(row))
    if op == "Constant":
        data = attrs["data"]
        assert isinstance(data, bytes)
        return f"{np.frombuffer(data, b.aval(row).dtype.numpy)[0]:g}", 9
    parts = [_formula(b, i, names) for i in b.operands(row)]
    if op in _INFIX:
        mine = _BINDING[op]
        left = parts[0][0] if parts[0][1] >= mine else f"({parts[0][0]})"
        right = parts[1][0] if parts[1][1] > mine else f"({parts[1][0]})"
        return f"{left} {_INFIX[op]} {right}", mine
    if op == "Neg":
        return (f"-{parts[0][0]}" if parts[0][1] >= 2 else f"-({parts[0][0]})"), 2
    if op == "IntPow":
        base = parts[0][0] if parts[0][1] > 3 else f"({parts[0][0]})"
        return f"{base}^{attrs['n']!r}", 3
    if op == "Transpose":
        return (f"{parts[0][0]}^T" if parts[0][1] >= 9 else f"({parts[0][0]})^T"), 9
    if op == "Polygamma":
        return f"polygamma({attrs['n']!r}, {parts[0][0]})", 9
    name = op[0].lower() + op[1:]
    return f"{name}({', '.join(text for text, _ in parts)})", 9
