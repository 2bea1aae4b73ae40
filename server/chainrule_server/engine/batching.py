"""Many lanes at once: a function of single examples as one of stacked ones.

    vmap : f: x -> y   gives   (x_1, ..., x_L stacked) -> (y_1, ..., y_L stacked)

The rows of f are walked once and each op's batching rule emits its graph, so what comes out is an ordinary
function again: it can be differentiated, batched once more and cut over workers. A row that no lane differs
in is computed once for all of them. The number of rows doesn't depend on the number of lanes.
"""

from collections.abc import Sequence

from chainrule.errors import ErrorCode, InvalidGraph, Unsupported
from chainrule.ir.avals import Aval, Dim
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, transpose
from chainrule_server.engine.flat import Copier, Flat, finish
from chainrule_server.engine.ops import OPS, lanes
from chainrule_server.engine.ops.table import Batching

# Differs from lane to lane though nothing that goes in does.
_ALWAYS = ("RandomBits",)


def vmap(flat: Flat, in_axes: Sequence[int | None], size: Dim) -> Flat:
    """The function over `size` lanes.

    Args:
        flat: primitives only. in_axes: for each input where its axis of lanes is put, counted in the
        stacked input; None for an input
            that all lanes share.
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
    for node in list(f)[f.n_inputs :]:
        batched = [split[i] for i in node.inputs]
        split.append(any(batched) or node.op in _ALWAYS)
        if not split[-1]:
            rows.append(copier.copy(node.id, rows))
            continue
        b.label, b.line = flat.debug.label(node.id) or "", flat.debug.line(node.id) or ""
        operands = [Expr(b, rows[i]) for i in node.inputs]
        rows.append(_rule(node.op)(size, batched, *operands, **dict(node.attrs)).id)
    outputs = [
        rows[i] if split[i] else lanes.in_front(Expr(b, rows[i]), size).id for i in f.outputs
    ]
    return finish(b, outputs, f.output_names, f.name)


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
