"""May a batch be cut, and how do the parts combine? Decided on the differentiated, flat function.

Every value is one of
    replicated     the same in every shard, known once `level` rounds of combining are done
    batched        has the examples along one axis, laid out (outer, N, inner) on it
    partial        each shard's contribution to a sum or maximum over examples

N stays the whole batch in every shard, so `sum / N` needs no correction. A partial value that is used other
than by adding partials is combined first: it is replicated one level later. Where batched values follow, that
is a round in the middle. Two batch axes in a node, or examples moved along the axis, couple the examples.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod
from typing import NamedTuple, cast

from chainrule.ir.attrs import AttrValue, callees
from chainrule.ir.avals import Aval, BatchDim, Shape
from chainrule.ir.graph import Function
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.loops.split import loop_states
from chainrule_server.engine.states import (
    Batched,
    Meets,
    Partial,
    Replicated,
    State,
    available,
)


class Coupled(Exception):
    """Examples meet in this row, so the batch can't be cut. Internal: compile turns it into a notice."""

    def __init__(self, row: int, why: str) -> None:
        super().__init__(why)
        self.row = row
        self.why = why


def analyse(flat: Flat) -> tuple[State, ...]:
    """The state of every row.

    Raises:
        Coupled: the batch of this function can't be cut.
    """
    f = flat.function
    given: list[State] = []
    for row, aval in enumerate(f.in_avals):
        try:
            given.append(_state("Input", (), (), aval, {}) if aval.is_batched else Replicated())
        except Meets as meets:
            raise Coupled(row, str(meets)) from None
    return tuple(_walk(f, flat.bodies, given))


def _walk(f: Function, bodies: tuple[Function, ...], given: Sequence[State]) -> list[State]:
    states = list(given)
    several: dict[int, list[State]] = {}
    for row in range(f.n_inputs, len(f)):
        node = f.node(row)
        ins = [states[i] for i in node.inputs]
        attrs = dict(node.attrs)
        try:
            if node.op == "Item":
                states.append(several[node.inputs[0]][cast(int, attrs["index"])])
            elif callees(node.attrs):
                named = [bodies[i] for i in callees(node.attrs)]
                zero = [_is_zero(f, i) for i in node.inputs]
                several[row] = loop_states(
                    node.op, ins, attrs, named, partial(_inside, bodies), zero
                )
                states.append(several[row][0])
            else:
                in_avals = [f.avals[i] for i in node.inputs]
                states.append(_state(node.op, ins, in_avals, node.aval, attrs))
        except Meets as meets:
            raise Coupled(row, str(meets)) from None
    return states


def _inside(
    bodies: tuple[Function, ...], body: Function, given: Sequence[State], strict: bool
) -> list[State]:
    """States of a body's outputs. A loop can't stop in the middle for all shards to meet."""
    level = max((s.level for s in given), default=0)
    try:
        states = _walk(body, bodies, given)
    except Coupled as coupled:
        raise Meets(f"{coupled.why}, inside a loop") from None
    if strict and any(s.level > level for s in states):
        raise Meets("examples meet in every step of a loop")
    return [states[i] for i in body.outputs]


def _is_zero(f: Function, row: int) -> bool:
    """Whether a row is a constant of zeros."""
    while f.ops[row] in ("Expand", "Reshape"):
        row = f.inputs[row][0]
    data = dict(f.attrs[row]).get("data")
    return f.ops[row] == "Constant" and isinstance(data, bytes) and not any(data)


def _state(
    op: str, ins: Sequence[State], in_avals: Sequence[Aval], out: Aval, attrs: dict[str, AttrValue]
) -> State:
    level = max((available(s) for s in ins), default=0)
    batch_axes = [i for i, d in enumerate(out.shape) if isinstance(d, BatchDim)]
    if len(batch_axes) > 1:
        raise Meets(f"{op} gives {out}, which has two batch axes")
    axis = batch_axes[0] if batch_axes else None
    if not any(isinstance(s, Batched) for s in ins):
        if axis is not None:
            if op not in _FILLS:
                raise Meets(f"{op} makes examples out of values that every shard has")
            return Batched(axis, _leaf_outer(op, axis, out.rank, attrs), level)
        if ins and op in _KEEP and all(isinstance(s, Partial) and s.how == "sum" for s in ins):
            return Partial("sum", max(s.level for s in ins))
        return Replicated(level)
    row = _Row(tuple(ins), tuple(in_avals), out, axis, level, attrs)
    return _RULES.get(op, _elementwise)(row)


_FILLS = ("Input", "Constant", "Iota", "Expand")

# Ops that are linear and don't enlarge: adding their results is adding their operands.
_KEEP = ("Add", "Sub", "Neg", "Reshape", "Transpose", "ReduceSum", "CumSum", "Dft", "StopGradient")


def _leaf_outer(op: str, axis: int, rank: int, attrs: dict[str, AttrValue]) -> int | None:
    """An input, and an Iota along the batch, have example 0 first; a filled array fits any layout."""
    return 1 if op == "Input" or (op == "Iota" and attrs["axis"] in (axis, axis - rank)) else None


def _join(outers: Sequence[int | None]) -> int | None:
    """The common layout of operands that meet element by element."""
    known = {outer for outer in outers if outer is not None}
    if len(known) > 1:
        raise Meets("operands have their examples in different orders")
    return known.pop() if known else None


class _Row(NamedTuple):
    """A row with at least one batched operand; `axis` is the batch axis of its output, if it has one."""

    ins: tuple[State, ...]
    avals: tuple[Aval, ...]
    out: Aval
    axis: int | None
    level: int
    attrs: dict[str, AttrValue]

    @property
    def batched(self) -> list[tuple[int, Batched]]:
        """Positions and states of the batched operands."""
        return [(i, s) for i, s in enumerate(self.ins) if isinstance(s, Batched)]


def _elementwise(r: _Row) -> State:
    """Operands broadcast; the batch axis is where the output's is, counted from the right."""
    assert r.axis is not None
    for i, s in r.batched:
        if s.axis - r.avals[i].rank != r.axis - r.out.rank:
            raise Meets(f"batch axes {s.axis} and {r.axis} meet")
    return Batched(r.axis, _join([s.outer for _, s in r.batched]), r.level)


def _moved(r: _Row) -> State:
    """Transpose: the axis moves, the layout along it doesn't."""
    assert r.axis is not None
    return Batched(r.axis, r.batched[0][1].outer, r.level)


def _reshape(r: _Row) -> State:
    """What stands before an example in memory stays before it: before * outer is conserved."""
    (_, s), aval = r.batched[0], r.avals[0]
    if r.axis is None or 0 in r.out.shape:
        raise Meets(f"a reshape of {aval} to {r.out} has no examples to keep apart")
    if s.outer is None:
        return Batched(r.axis, None, r.level)
    before = _before(aval.shape, s.axis) * s.outer
    ahead = _before(r.out.shape, r.axis)
    k = cast(BatchDim, r.out.shape[r.axis]).k
    if ahead == 0 or before % ahead or k % (before // ahead):
        raise Meets(f"a reshape of {aval} to {r.out} mixes examples")
    return Batched(r.axis, before // ahead, r.level)


def _before(shape: Shape, axis: int) -> int:
    return prod(d for d in shape[:axis] if isinstance(d, int))


def _segments(r: _Row) -> State:
    """Slice, Pad, Concat, Flip: across the batch axis only in whole segments of N."""
    if r.axis is None:
        raise Meets("a cut that leaves no examples")
    outers: list[int | None] = []
    untouched = _first_bound(r) == 0 and all(
        r.avals[i].shape[s.axis] == r.out.shape[r.axis] for i, s in r.batched
    )
    flipped = cast(tuple[int, ...], r.attrs.get("axes", ()))
    if r.axis in flipped or r.axis - r.out.rank in flipped:
        raise Meets("a flip of the batch")
    for i, s in r.batched:
        k = cast(BatchDim, r.avals[i].shape[s.axis]).k
        if not untouched and s.outer is not None and s.outer != k:
            raise Meets("a cut or join across the batch that doesn't fall between examples")
        outers.append(s.outer if untouched else None)
    if untouched:
        return Batched(r.axis, _join(outers), r.level)
    return Batched(r.axis, cast(BatchDim, r.out.shape[r.axis]).k, r.level)


def _first_bound(r: _Row) -> object:
    """Where a Slice begins, or a Pad puts its zeros, along the batch: moved examples keep the length."""
    bounds = r.attrs.get("starts", r.attrs.get("low"))
    return cast(tuple[object, ...], bounds)[cast(int, r.axis)] if bounds is not None else 0


def _matmul(r: _Row) -> State:
    """Contracted over examples: a partial sum. Else the examples stay along rows, columns or in front."""
    (a, b), (x, y) = r.ins, r.avals
    inner = [
        isinstance(a, Batched) and a.axis == x.rank - 1,
        isinstance(b, Batched) and b.axis == y.rank - 2,
    ]
    if all(inner) and r.axis is None:
        _join([cast(Batched, a).outer, cast(Batched, b).outer])
        return Partial("sum", r.level)
    if any(inner) or r.axis is None:
        raise Meets(f"a product {x} @ {y} sums over examples on one side only")
    for i, s in r.batched:
        if s.axis - r.avals[i].rank != r.axis - r.out.rank:
            raise Meets(f"a product {x} @ {y} meets two batch axes")
    return Batched(r.axis, _join([s.outer for _, s in r.batched]), r.level)


def _reduction(how: str) -> Callable[[_Row], State]:
    """Over examples: partial. Over other axes: still batched."""

    def rule(r: _Row) -> State:
        if r.axis is None:
            return Partial(how, r.level)
        return Batched(r.axis, r.batched[0][1].outer, r.level)

    return rule


def _arg_max(r: _Row) -> State:
    if r.axis is None:
        raise Meets("an argmax over examples")
    return Batched(r.axis, r.batched[0][1].outer, r.level)


def _gather(r: _Row) -> State:
    """Rows of a table: not along the batch."""
    table = r.ins[0]
    if r.axis is None or (isinstance(table, Batched) and table.axis == r.attrs["axis"]):
        raise Meets(f"rows of {r.avals[0]} are taken along the batch")
    lead = cast(int, r.attrs["batch_dims"])
    both = [s for _, s in r.batched]
    if len(both) == 2 and not both[0].axis == both[1].axis < lead:
        raise Meets("table and index are batched along different axes")
    return Batched(r.axis, _join([s.outer for s in both]), r.level)


def _scatter_add(r: _Row) -> State:
    """Updates of all examples into one table: a partial sum."""
    at, lead = cast(int, r.attrs["axis"]), cast(int, r.attrs["batch_dims"])
    index, updates = r.ins
    if isinstance(r.out.shape[at], BatchDim):
        raise Meets("rows are added along the batch")
    outers = [s.outer for _, s in r.batched]
    if r.axis is not None:
        return Batched(r.axis, _join(outers), r.level)
    # The batch axis of the index, seen in the updates, stands at `axis - batch_dims` further on.
    aligned = (
        isinstance(index, Batched)
        and isinstance(updates, Batched)
        and index.axis - lead == updates.axis - at
    )
    if not aligned:
        raise Meets(f"updates {r.avals[1]} and index {r.avals[0]} are batched differently")
    _join(outers)
    return Partial("sum", r.level)


def _same_axis(r: _Row) -> State:
    """Leading axes are a batch; the batch axis is where the operand's is, and nothing runs along it."""
    s = r.batched[0][1]
    if r.axis != s.axis:
        raise Meets(f"{r.out} is made across the examples of {r.avals[0]}")
    return Batched(r.axis, s.outer, r.level)


def _along(attr: str) -> Callable[[_Row], State]:
    """Ops that run along axes: not along the batch."""

    def rule(r: _Row) -> State:
        named = r.attrs[attr]
        axes = cast(tuple[int, ...], named if isinstance(named, tuple) else (named,))
        s = r.batched[0][1]
        if s.axis in [axis % r.out.rank for axis in axes]:
            raise Meets("an order, a running sum or a transform along the batch")
        return Batched(s.axis, s.outer, r.level)

    return rule


def _system(r: _Row) -> State:
    """Leading axes of matrix and right side broadcast, counted from the right."""
    assert r.axis is not None
    for i, s in r.batched:
        if s.axis - r.avals[i].rank != r.axis - r.out.rank:
            raise Meets(f"a system {r.avals[0]} x = {r.avals[1]} meets two batch axes")
    return Batched(r.axis, _join([s.outer for _, s in r.batched]), r.level)


def _random_bits(r: _Row) -> State:
    """Leading axes of the key are those of the counter."""
    assert r.axis is not None
    if any(s.axis != r.axis for _, s in r.batched):
        raise Meets("keys and counters are batched along different axes")
    return Batched(r.axis, _join([s.outer for _, s in r.batched]), r.level)


_RULES: dict[str, Callable[[_Row], State]] = {
    "Transpose": _moved,
    "Reshape": _reshape,
    "Slice": _segments,
    "Pad": _segments,
    "Concat": _segments,
    "Flip": _segments,
    "MatMul": _matmul,
    "ReduceSum": _reduction("sum"),
    "ReduceMax": _reduction("max"),
    "ArgMax": _arg_max,
    "Gather": _gather,
    "ScatterAdd": _scatter_add,
    "RandomBits": _random_bits,
    "ArgSort": _along("axis"),
    "CumSum": _along("axis"),
    "Dft": _along("axes"),
    "Unfold": _same_axis,
    "Fold": _same_axis,
    "Cholesky": _same_axis,
    "LogAbsDet": _same_axis,
    "Eigh": _same_axis,
    "QR": _same_axis,
    "SVD": _same_axis,
    "TriangularSolve": _system,
    "Solve": _system,
}
