"""Structure nodes over many lanes: their bodies are mapped, and lanes that end early are frozen.

Checkpoint, CustomVjp   the mapped bodies
Cond                    one condition: the mapped branches; a condition a lane: both branches, chosen by Where
Scan                    the mapped body. Where lanes end at different steps all go on to the last one's, and a
                        lane that has ended keeps its carry and gives zeros
FixedPoint              the mapped body, each lane an example that converges and is frozen alone
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from chainrule.errors import ErrorCode, Unsupported
from chainrule.ir.avals import Aval, Dim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, apply, expand, less, reshape, transpose, where, zeros
from chainrule.ir.structure import ScanShape
from chainrule_server.engine.flat import Flat, define, finish, inline
from chainrule_server.engine.loops.rule import Node, exprs, ids
from chainrule_server.engine.loops.scan import emit_scan

Map = Callable[[Flat, Sequence[int | None], Dim], Flat]


class Lanes(NamedTuple):
    """What is mapped over.

    Attributes:
        size: the number of lanes.
        batched: per operand, whether it has the axis of lanes in front.
        map: `batching.vmap`.
    """

    size: Dim
    batched: tuple[bool, ...]
    map: Map

    def axes(self, skip: int = 0) -> list[int | None]:
        """Where the operands' lanes are."""
        return [0 if b else None for b in self.batched[skip:]]

    def of(self, flat: Flat) -> Flat:
        """A body of which every input has lanes."""
        return self.map(flat, [0] * flat.function.n_inputs, self.size)

    def front(self, x: Expr, batched: bool) -> Expr:
        """An operand with the axis of lanes."""
        return x if batched else expand(x, (self.size, *x.shape))


Outputs = tuple[tuple[int, ...], tuple[bool, ...]]


def map_node(b: Builder, op: str, node: Node, lanes: Lanes) -> Outputs:
    """Emit a structure node for all lanes.

    Args:
        b: the builder to emit into.
        op: of the node, one of those with a rule of its own.
        node: with its operands there.
        lanes: what is mapped over.

    Returns:
        Its outputs, and whether each has lanes.
    """
    return _RULES[op](b, node, lanes)


def _checkpoint(b: Builder, node: Node, lanes: Lanes) -> Outputs:
    body = lanes.map(node.body(), lanes.axes(), lanes.size)
    return _all(b.add_multi("Checkpoint", *ids(node.operands), function=define(b, body)))


def _custom_vjp(b: Builder, node: Node, lanes: Lanes) -> Outputs:
    # With lanes everywhere body and rule stay each other's; the cotangent of a shared operand is summed by
    # the derivative of its expansion.
    given = _fronts(node.operands, lanes)
    function = define(b, lanes.of(node.body()))
    otherwise = define(b, lanes.of(node.body("otherwise")))
    return _all(b.add_multi("CustomVjp", *ids(given), function=function, otherwise=otherwise))


def _cond(b: Builder, node: Node, lanes: Lanes) -> Outputs:
    branches = [
        lanes.map(node.body(name), lanes.axes(1), lanes.size) for name in ("function", "otherwise")
    ]
    if not lanes.batched[0]:
        yes, no = (define(b, branch) for branch in branches)
        return _all(b.add_multi("Cond", *ids(node.operands), function=yes, otherwise=no))
    sides = [exprs(b, inline(b, branch, ids(node.operands[1:]))) for branch in branches]
    chosen = [_where(node.operands[0], x, y) for x, y in zip(*sides, strict=True)]
    return _all(tuple(ids(chosen)))


def _fixed_point(b: Builder, node: Node, lanes: Lanes) -> Outputs:
    nc = cast(int, node.attrs["n_consts"])
    body = node.body()
    flags = (*lanes.batched[:nc], *(True for _ in node.operands[nc:]))
    mapped = lanes.map(body, [0 if f else None for f in flags], lanes.size)
    state = [lanes.front(x, f) for x, f in zip(node.operands[nc:], lanes.batched[nc:], strict=True)]
    inner = state
    if node.attrs["per_example"]:
        # Its rows are iterations already: lanes and rows together become the rows.
        inner = [reshape(x, (_merged(x.aval), *x.shape[2:])) for x in state]
        mapped = _of_rows(mapped, nc, inner)
    attrs = {k: v for k, v in node.attrs.items() if k not in ("function", "per_example")}
    found = b.add_multi(
        "FixedPoint",
        *ids([*node.operands[:nc], *inner]),
        function=define(b, mapped),
        per_example=True,
        **attrs,
    )
    values = [reshape(Expr(b, row), x.shape) for row, x in zip(found[:-2], state, strict=True)]
    # Iterations and residual are those of the slowest lane.
    return (*ids(values), *found[-2:]), (*(True for _ in values), False, False)


def _merged(aval: Aval) -> int:
    if aval.rank < 2 or aval.is_batched:
        raise Unsupported(
            f"lanes of a fixed point of {aval} whose rows are examples",
            code=ErrorCode.UNSUPPORTED,
            cure="leave per_example out where the function is mapped",
        )
    return aval.dims[0] * aval.dims[1]


def _of_rows(mapped: Flat, nc: int, state: Sequence[Expr]) -> Flat:
    """The body on states whose lanes and rows are one axis."""
    avals = mapped.function.in_avals
    inner = Builder()
    rows = [inner.input(f"v{i}", a) for i, a in enumerate(avals[:nc])]
    rows += [inner.input(f"v{i}", x.aval) for i, x in enumerate(state, start=nc)]
    apart = [
        reshape(Expr(inner, row), aval.shape).id
        for row, aval in zip(rows[nc:], avals[nc:], strict=True)
    ]
    outs = exprs(inner, inline(inner, mapped, [*rows[:nc], *apart]))
    merged = [reshape(o, x.shape).id for o, x in zip(outs, state, strict=True)]
    return finish(inner, merged, [f"o{i}" for i in range(len(outs))], "rows")


def _scan(b: Builder, node: Node, lanes: Lanes) -> Outputs:
    shape = ScanShape.of(node.attrs)
    first = int(shape.limit)
    nc, nk = shape.n_consts, shape.n_carry
    given, flags = node.operands[first:], lanes.batched[first:]
    consts, xs = given[:nc], given[nc + nk :]
    carry = [
        lanes.front(x, f) for x, f in zip(given[nc : nc + nk], flags[nc : nc + nk], strict=True)
    ]
    # The steps have to lead, the lanes of a slice come next.
    slices = [_swapped(x) if f else x for x, f in zip(xs, flags[nc + nk :], strict=True)]
    axes: list[int | None] = [0 if f else None for f in flags]
    axes[nc : nc + nk] = [0] * nk
    mapped = lanes.map(node.body(), axes, lanes.size)
    limit = node.operands[:first]
    if not (shape.until or (limit and lanes.batched[0])):
        found = exprs(b, emit_scan(b, mapped, shape, limit, [*consts, *carry, *slices]))
        ys = [_swapped(y) for y in found[nk:]]
        return _all(tuple(ids([*found[:nk], *ys])))
    return _frozen(b, lanes, shape, mapped, limit, (consts, carry, slices))


def _frozen(
    b: Builder,
    lanes: Lanes,
    shape: ScanShape,
    mapped: Flat,
    limit: Sequence[Expr],
    given: tuple[Sequence[Expr], Sequence[Expr], Sequence[Expr]],
) -> Outputs:
    """A Scan whose lanes end at steps of their own.

    Beside the carry goes how many steps each lane has taken, and whether it has ended; beside the slices the
    number of the step, which a lane's limit is compared with.
    """
    consts, carry, slices = given
    nc, nk, until = len(consts), len(carry), shape.until
    ends = lanes.front(limit[0], lanes.batched[0]) if limit else None
    counts = Expr(b, b.add("Iota", dtype=DType.INT64, shape=(shape.length,), axis=0))
    taken = zeros(b, Aval(DType.INT64, (lanes.size,)))
    open_ = zeros(b, Aval(DType.BOOL, (lanes.size,)))
    operands = [*consts, *([ends] if ends else []), *carry, taken, open_, *slices, counts]
    avals = [x.aval for x in (*consts, *([ends] if ends else []), *carry, taken, open_)]
    avals += [Aval(x.aval.dtype, x.shape[1:]) for x in (*slices, counts)]
    inner = Builder()
    rows = exprs(inner, [inner.input(f"v{i}", a) for i, a in enumerate(avals)])
    extra = int(ends is not None)
    old = rows[nc + extra : nc + extra + nk]
    steps, ended = rows[nc + extra + nk : nc + extra + nk + 2]
    outs = exprs(
        inner, inline(inner, mapped, ids([*rows[:nc], *old, *rows[nc + extra + nk + 2 : -1]]))
    )
    runs = apply("Not", ended)
    if extra:
        runs = apply("And", runs, less(rows[-1], rows[nc]))
    values = outs[int(until) :]
    kept = [_where(runs, new, was) for new, was in zip(values[:nk], old, strict=True)]
    ys = [_where(runs, y, zeros(inner, y.aval)) for y in values[nk:]]
    steps = where(runs, steps + 1, steps)
    if until:
        ended = apply("Or", ended, apply("And", runs, outs[0]))
    outputs = [*kept, steps, ended, *ys]
    if until:
        still = apply("Cast", apply("Not", ended), dtype=DType.INT64)
        outputs.insert(0, less(apply("ReduceSum", still, axes=(0,)), still.like(1)))
    body = finish(inner, ids(outputs), [f"o{i}" for i in range(len(outputs))], "step")
    longest = [apply("ReduceMax", ends, axes=(0,))] if ends else []
    wider = ScanShape(nc + extra, nk + 2, shape.length, shape.reverse, until, bool(longest))
    found = exprs(b, emit_scan(b, body, wider, longest, operands))
    out_ys = found[nk + 2 : len(found) - int(until)]
    own = [found[nk]] if until else []
    return _all(tuple(ids([*found[:nk], *(_swapped(y) for y in out_ys), *own])))


def _fronts(operands: Sequence[Expr], lanes: Lanes) -> list[Expr]:
    return [lanes.front(x, f) for x, f in zip(operands, lanes.batched, strict=True)]


def _swapped(x: Expr) -> Expr:
    return transpose(x, (1, 0, *range(2, x.aval.rank)))


def _where(chosen: Expr, x: Expr, y: Expr) -> Expr:
    """By lane; x and y have further axes."""
    return where(reshape(chosen, (chosen.shape[0], *(1,) * (x.aval.rank - 1))), x, y)


def _all(rows: tuple[int, ...]) -> Outputs:
    return rows, (True,) * len(rows)


_RULES: dict[str, Callable[[Builder, Node, Lanes], Outputs]] = {
    "Checkpoint": _checkpoint,
    "CustomVjp": _custom_vjp,
    "Cond": _cond,
    "Scan": _scan,
    "FixedPoint": _fixed_point,
}
