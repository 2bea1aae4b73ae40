"""A graph as text: one line a node, with labels and source lines where there are some."""

from collections.abc import Iterable

from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import BatchDim, DType
from chainrule.ir.graph import Debug, Function, Graph, Node


def to_text(graph: Graph) -> str:
    """Every function of a graph, `main` last."""
    parts = (function_text(f, graph.debug_of(i), i) for i, f in enumerate(graph.functions))
    return "\n\n".join(parts) + "\n"


def function_text(function: Function, debug: Debug | None = None, index: int = 0) -> str:
    """One function: its nodes, then its outputs."""
    debug = debug or Debug()
    rows = "\n".join(node_text(node, debug) for node in function)
    named = zip(function.output_names, function.outputs, strict=True)
    outs = ", ".join(f"{name} = %{row}" for name, row in named)
    return f"function {index} {function.name} {{\n{rows}\n  return {outs}\n}}"


def node_text(node: Node, debug: Debug) -> str:
    """`  %4 = Mul %2 %3 : float64[N,3]   # h, model.py:12`."""
    operands = "".join(f" %{i}" for i in node.inputs)
    attrs = ", ".join(f"{key}={value_text(value)}" for key, value in node.attrs)
    text = f"  %{node.id} = {node.op}{operands}{f' [{attrs}]' if attrs else ''} : {node.aval}"
    notes = [note for note in (debug.label(node.id), debug.line(node.id)) if note]
    return f"{text}   # {', '.join(notes)}" if notes else text


def around(function: Function, row: int, debug: Debug | None = None, context: int = 3) -> str:
    """The lines about one row, the row itself marked by an arrow."""
    debug = debug or Debug()
    rows: Iterable[int] = range(max(0, row - context), min(len(function), row + context + 1))
    lines = []
    for i in rows:
        text = node_text(function.node(i), debug)
        lines.append("->" + text[2:] if i == row else text)
    return "\n".join(lines)


def value_text(value: AttrValue) -> str:
    """An attribute as people read it: long bytes by their beginning, dtypes by name."""
    if isinstance(value, DType):
        return value.label
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 8 else f"{value[:4].hex()}...({len(value)} bytes)"
    if isinstance(value, tuple):
        return "(" + ", ".join(str(v) if isinstance(v, BatchDim) else repr(v) for v in value) + ")"
    return repr(value)
