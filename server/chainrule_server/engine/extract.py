"""A part of a function as a function of its own: what some rows need, up to given stops."""

from collections.abc import Mapping, Sequence
from typing import cast

from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule.ir.expr import cast as cast_to
from chainrule.ir.graph import Function, Node
from chainrule_server.engine.flat import Copier, Flat, finish

BATCH, OFFSET = "$n", "$offset"


def extract(
    flat: Flat, targets: Sequence[int], keys: Sequence[str], stops: Mapping[int, str], name: str
) -> Flat:
    """The function that computes `targets`, called `keys`, with the rows in `stops` as named inputs.

    A shard must know the whole batch: DimSize reads the input `$n`, and an Iota along the batch counts from
    the input `$offset`, the first example of the shard. Both are int64 scalars, declared where needed.
    """
    f = flat.function
    stop_rows = set(stops)
    read, nodes = _needed(f, targets, stop_rows)
    needed = sorted(read | nodes)
    b = Builder()
    rows: dict[int, int] = {}
    for row in needed:
        if row in stop_rows and row in read:
            rows[row] = b.input(stops[row], f.avals[row])
        elif f.ops[row] == "Input":
            rows[row] = b.input(f.input_names[row], f.avals[row])
    scalars: dict[str, int] = {}
    copier = Copier(b, flat)
    inside = [f.node(row) for row in needed if row not in rows or row in nodes]
    if any(node.op == "DimSize" for node in inside):
        scalars[BATCH] = b.input(BATCH, Aval(DType.INT64))
    if any(_along_batch(node) for node in inside):
        scalars[OFFSET] = b.input(OFFSET, Aval(DType.INT64))
    for node in inside:
        b.label, b.line = flat.debug.label(node.id) or "", flat.debug.line(node.id) or ""
        made = _copy(b, copier, node, rows, scalars)
        # The first output of a node may be given while another one is made here.
        rows.setdefault(node.id, made)
    return finish(b, [rows[r] for r in targets], keys, name)


def _needed(f: Function, targets: Sequence[int], stops: set[int]) -> tuple[set[int], set[int]]:
    """Rows that are read, and nodes that run because another output than their first is made."""
    read, nodes = set(targets), set[int]()
    stack = list(read)
    while stack:
        row = stack.pop()
        if row in stops:
            continue
        if f.ops[row] == "Item":
            nodes.add(f.inputs[row][0])
        for i in sources(f, row):
            if i not in read:
                read.add(i)
                stack.append(i)
    return read, nodes


def sources(f: Function, row: int) -> tuple[int, ...]:
    """What a row is computed from. An Item reads no value of its node: it is an output beside the first."""
    return f.inputs[f.inputs[row][0]] if f.ops[row] == "Item" else f.inputs[row]


def _along_batch(node: Node) -> bool:
    if node.op != "Iota":
        return False
    return isinstance(node.aval.shape[cast(int, node.attr("axis"))], BatchDim)


def _copy(
    b: Builder, copier: Copier, node: Node, rows: Mapping[int, int], scalars: Mapping[str, int]
) -> int:
    if node.op == "DimSize":
        k = cast(int, node.attr("k"))
        n = Expr(b, scalars[BATCH])
        return (n * k if k != 1 else n).id
    row = copier.copy(node.id, rows)
    if _along_batch(node):
        k = cast(BatchDim, node.aval.shape[cast(int, node.attr("axis"))]).k
        first = cast_to(Expr(b, scalars[OFFSET]) * k, node.aval.dtype)
        return (Expr(b, row) + first).id
    return row
