"""Many lanes at once: a function of single examples as one of stacked ones.

    vmap : f: x -> y   gives   (x_1, ..., x_L stacked) -> (y_1, ..., y_L stacked)

The rows of f are walked once and each op's batching rule emits its graph, so what comes out is an ordinary
function again: it can be differentiated, batched once more and cut over workers. A row that no lane differs
in is computed once for all of them. The number of rows doesn't depend on the number of lanes.
"""

from collections.abc import Sequence
from typing import cast

from chainrule.errors import ErrorCode, InvalidGraph, Unsupported
from chainrule.ir.attrs import callees
from chainrule.ir.avals import Aval, Dim
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, transpose
from chainrule.ir.graph import Node as GraphNode
from chainrule_server.engine.flat import Copier, Flat, finish
from chainrule_server.engine.loops.lanes import Lanes, map_node
from chainrule_server.engine.loops.rule import Node
from chainrule_server.engine.loops.table import RULES
from chainrule_server.engine.ops import OPS, lanes
from chainrule_server.engine.ops.table import Batching

# Differs from lane to lane though nothing that goes in does.
_ALWAYS = ("RandomBits",)


def vmap(flat: Flat, in_axes: Sequence[int | None], size: Dim) -> Flat:
    """The function over `size` lanes.

    Args:
        flat: primitives and structure with rules of its own.
        in_axes: for each input where its axis of lanes is put, counted in the stacked input; None for an
            input that all lanes share.
        size: the number of lanes; may be k*N.

    Returns:
        The same inputs, stacked ones with the axis of lanes; every output with that axis in front.

    Raises:
        InvalidGraph: an axis that the stacked input doesn't have.
        Unsupported: a function with a batch axis of its own, over k*N lanes.
    """
    f = flat.function
    b = Builder()
    axes = [_axis(a, aval) for a, aval in zip(in_axes, f.in_avals, strict=True)]
    given = [
        b.input(name, aval if axis is None else _stacked(aval, axis, size))
        for name, axis, aval in zip(f.input_names, axes, f.in_avals, strict=True)
    ]
    rows = [_forward(b, row, axis) for row, axis in zip(given, axes, strict=True)]
    split = [axis is not None for axis in axes]
    copier = Copier(b, flat)
    items = {i for op, ins in zip(f.ops, f.inputs, strict=True) if op == "Item" for i in ins}
    several: dict[int, tuple[tuple[int, ...], tuple[bool, ...]]] = {}
    for node in list(f)[f.n_inputs :]:
        if node.op == "Item" and node.inputs[0] in several:
            outputs, flags = several[node.inputs[0]]
            index = cast(int, node.attr("index"))
            rows.append(outputs[index])
            split.append(flags[index])
            continue
        batched = tuple(split[i] for i in node.inputs)
        if not any(batched) and not _draws(flat, node):
            rows.append(copier.copy(node.id, rows))
            split.append(False)
            continue
        b.label, b.line = flat.debug.label(node.id) or "", flat.debug.line(node.id) or ""
        operands = tuple(Expr(b, rows[i]) for i in node.inputs)
        if node.op in RULES:
            described = Node(dict(node.attrs), flat, operands, batched)
            several[node.id] = map_node(b, node.op, described, Lanes(size, batched, vmap))
        else:
            row = _rule(node.op)(size, batched, *operands, **dict(node.attrs)).id
            every = b.outputs_of(row) if node.id in items else (row,)
            several[node.id] = (every, (True,) * len(every))
        outputs, flags = several[node.id]
        rows.append(outputs[0])
        split.append(flags[0])
    ends = [rows[i] if split[i] else lanes.in_front(Expr(b, rows[i]), size).id for i in f.outputs]
    return finish(b, ends, f.output_names, f.name)


def _draws(flat: Flat, node: GraphNode) -> bool:
    """Whether a node, or one in a body of it, draws random numbers, each lane its own."""
    return node.op in _ALWAYS or any(
        _draws(flat, row) for index in callees(node.attrs) for row in flat.bodies[index]
    )


def _rule(op: str) -> Batching:
    rule = OPS[op].batching if op in OPS else None
    if rule is None:
        raise Unsupported(f"{op} has no batching rule", code=ErrorCode.UNSUPPORTED)
    return rule


def _axis(axis: int | None, aval: Aval) -> int | None:
    if axis is None:
        return None
    if not -aval.rank - 1 <= axis <= aval.rank:
        raise InvalidGraph(
            f"axis {axis} of lanes for an input {aval}",
            code=ErrorCode.BAD_AXIS,
            cure=f"give an axis from {-aval.rank - 1} to {aval.rank}",
        )
    return axis % (aval.rank + 1)


def _stacked(aval: Aval, axis: int, size: Dim) -> Aval:
    if aval.is_batched and not isinstance(size, int):
        raise Unsupported(
            f"{size} lanes of an input {aval}, which has a batch axis already",
            code=ErrorCode.UNSUPPORTED,
            cure="map over a fixed number of lanes",
        )
    return Aval(aval.dtype, (*aval.shape[:axis], size, *aval.shape[axis:]))


def _forward(b: Builder, row: int, axis: int | None) -> int:
    """A stacked input with its axis of lanes in front."""
    if not axis:
        return row
    rank = b.aval(row).rank
    return transpose(Expr(b, row), (axis, *(k for k in range(rank) if k != axis))).id
