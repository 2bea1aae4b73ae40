"""The chain rule made visible: each node with its value, local derivatives and cotangents.

Explaining is a program like any other: a function whose outputs are all these values. What its run gives is
put into a table here. The rule of a node is printed from the rule itself, so it can't differ from what runs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chainrule.errors import ErrorCode, InvalidGraph, LimitExceeded
from chainrule.ir.attrs import FUNCTION_ATTRS, Attrs
from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, ones
from chainrule.ir.graph import Graph, Node
from chainrule.ir.printer import value_text
from chainrule_server.engine.autodiff import active_rows, pull_back, replay
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Flat, finish
from chainrule_server.engine.formula import rule_text
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.arithmetic import ARITHMETIC
from chainrule_server.engine.ops.comparison import COMPARISON
from chainrule_server.engine.ops.exponential import EXPONENTIAL
from chainrule_server.engine.ops.powers import POWERS
from chainrule_server.engine.ops.table import Array
from chainrule_server.engine.ops.trigonometric import TRIGONOMETRIC
from chainrule_server.engine.program import Program
from chainrule_server.engine.structure import flatten

MAX_EXPLAINED = 2_000
_ELEMENTWISE = {
    op.name
    for family in (ARITHMETIC, EXPONENTIAL, POWERS, TRIGONOMETRIC, COMPARISON)
    for op in family
}


@dataclass(frozen=True, slots=True)
class Edge:
    """One operand of a node: the rule as mathematics, its value where it is elementwise, what is sent."""

    input: int
    rule: str
    local: Array | None
    outgoing: Array | None


@dataclass(frozen=True, slots=True)
class ExplainedNode:
    """One row of the flat function with its numbers; `incoming` is the sum of what its readers sent back."""

    node: int
    op: str
    attrs: Attrs
    label: str
    line: str
    inputs: tuple[int, ...]
    aval: Aval
    value: Array
    incoming: Array | None
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """A program that computes everything there is to see, and how to read its outputs.

    Attributes:
        program: to be run once.
        flat: the function that is explained.
        rules: per row, per operand: the rule's text, "" where nothing is sent.
    """

    program: Program
    flat: Flat
    rules: Mapping[int, tuple[str, ...]]

    def nodes(self, outputs: Mapping[str, Array]) -> tuple[ExplainedNode, ...]:
        """The table, from the outputs of a run."""
        f, debug = self.flat.function, self.flat.debug
        out = []
        for node in f:
            rules = self.rules.get(node.id, ())
            edges = tuple(
                Edge(
                    i,
                    rules[k],
                    outputs.get(f"local/{node.id}/{k}"),
                    outputs.get(f"sent/{node.id}/{k}"),
                )
                for k, i in enumerate(node.inputs)
                if k < len(rules) and rules[k]
            )
            label = f.input_names[node.id] if node.op == "Input" else debug.label(node.id) or ""
            out.append(
                ExplainedNode(
                    node.id,
                    node.op,
                    node.attrs,
                    label,
                    debug.line(node.id) or "",
                    node.inputs,
                    node.aval,
                    outputs[f"value/{node.id}"],
                    outputs.get(f"ct/{node.id}"),
                    edges,
                )
            )
        return tuple(out)


def explain(graph: Graph, wrt: Sequence[str], output: str = "") -> Explanation:
    """Prepare an explanation of d output / d wrt.

    Args:
        graph: checked.
        wrt: names of inputs; none means every floating-point input.
        output: a floating-point output; "" means the first. Its cotangent is one.

    Raises:
        LimitExceeded: more nodes than anybody would read.
    """
    flat = flatten(graph)
    f = flat.function
    if len(f) > MAX_EXPLAINED:
        raise LimitExceeded(
            f"{len(f)} nodes to explain, above {MAX_EXPLAINED}",
            code=ErrorCode.TOO_MANY_NODES,
            cure="explain a smaller function",
        )
    for name in wrt:
        if name not in f.input_names:
            raise InvalidGraph(
                f"wrt names {name[:64]!r}, which is no input", code=ErrorCode.BAD_REF
            )
    if output and output not in f.output_names:
        raise InvalidGraph(f"output {output[:64]!r} is not there", code=ErrorCode.BAD_REF)
    target = f.outputs[f.output_names.index(output) if output else 0]
    if not f.avals[target].dtype.is_float:
        raise InvalidGraph(f"the output is {f.avals[target]}", code=ErrorCode.BAD_LOSS)
    wanted = [
        i
        for i, name in enumerate(f.input_names)
        if name in wrt or (not wrt and f.avals[i].dtype.is_float)
    ]
    b = Builder()
    inputs = [b.input(n, a) for n, a in zip(f.input_names, f.in_avals, strict=True)]
    active = active_rows(f, wanted)
    again = replay(flat, b, inputs, active)
    rows = again.rows
    outputs = {f"value/{row}": rows[row] for row in range(len(f))}
    rules: dict[int, tuple[str, ...]] = {}

    def record(row: int, ct: Expr, sent: Sequence[Expr | None]) -> None:
        node = f.node(row)
        called = [_called(f.node(i)) for i in node.inputs]
        texts = rule_text(node, [f.avals[i] for i in node.inputs], called)
        rules[row] = tuple(
            text if s is not None else "" for text, s in zip(texts, sent, strict=True)
        )
        for k, x_ct in enumerate(sent):
            if x_ct is not None:
                outputs[f"sent/{row}/{k}"] = x_ct.id
        for k, local in enumerate(_local(b, flat, rows, row)):
            if local is not None and sent[k] is not None:
                outputs[f"local/{row}/{k}"] = local.id
        del ct

    cts = {target: ones(b, f.avals[target])}
    pull_back(flat, b, again, active, cts, record)
    outputs |= {f"ct/{row}": ct.id for row, ct in cts.items()}
    explained = finish(b, list(outputs.values()), list(outputs), "explain")
    return Explanation(compile_flat(explained), flat, rules)


def _local(b: Builder, flat: Flat, rows: Sequence[int], row: int) -> tuple[Expr | None, ...]:
    """d node / d operand of an elementwise node: its rule with cotangent one."""
    node = flat.function.node(row)
    op = OPS.get(node.op)
    if op is None or op.name not in _ELEMENTWISE or not callable(op.vjp):
        return (None,) * len(node.inputs)
    operands = [Expr(b, rows[i]) for i in node.inputs]
    return op.vjp(ones(b, node.aval), Expr(b, rows[row]), *operands, **dict(node.attrs))


def to_text(nodes: Sequence[ExplainedNode]) -> str:
    """The table for reading: forwards the values, then backwards the rules."""
    shown = [n for n in nodes if n.op != "Constant"]
    lines = ["forward"]
    for n in shown:
        what = n.label if n.op == "Input" else _call(n, nodes)
        lines.append(f"  %{n.node:<3} {what:<28} = {_short(n.value):<22} {n.line}".rstrip())
    lines.append("backward")
    for n in reversed(shown):
        if n.incoming is None:
            continue
        lines.append(f"  %{n.node:<3} {n.label or n.op}: cotangent {_short(n.incoming)}")
        for edge in n.edges:
            local = f" = {_short(edge.local)}" if edge.local is not None else ""
            rule = edge.rule.removeprefix("ct * ") if local else edge.rule
            rule = "1" if rule == "ct" and local else rule
            rule = rule[1:-1] if rule.startswith("(") and rule.endswith(")") else rule
            local = "" if local == f" = {rule}" else local
            what = "local derivative" if edge.local is not None else "rule"
            sent = _short(edge.outgoing) if edge.outgoing is not None else "0"
            lines.append(
                f"         {what} {rule}{local}, sends {sent} to {_name(nodes[edge.input])}"
            )
    return "\n".join(lines) + "\n"


def _call(n: ExplainedNode, nodes: Sequence[ExplainedNode]) -> str:
    """`IntPow(%4, n=2)`: operands, then attributes that say something."""
    given = [_name(nodes[i]) for i in n.inputs]
    given += [
        f"{k}={value_text(v)}" for k, v in n.attrs if v is not False and k not in FUNCTION_ATTRS
    ]
    return f"{n.op}({', '.join(given)})" if given else n.op


def _called(node: Node) -> str:
    """An operand in a formula: a scalar constant by its value, anything else by its row."""
    data = dict(node.attrs).get("data")
    if node.op == "Constant" and isinstance(data, bytes) and not node.aval.rank:
        return _short(np.frombuffer(data, node.aval.dtype.numpy).reshape(()))
    return f"%{node.id}"


def _name(n: ExplainedNode) -> str:
    return _short(n.value) if n.op == "Constant" else f"%{n.node}"


def _short(value: Array | None) -> str:
    """A number, or shape and a few elements."""
    if value is None:
        return ""
    if value.ndim == 0:
        return f"{value.item():.10g}"
    flat = value.reshape(-1)
    some = ", ".join(f"{v:.4g}" for v in flat[:4])
    return f"[{some}{', ...' if flat.size > 4 else ''}] {'x'.join(map(str, value.shape))}"
