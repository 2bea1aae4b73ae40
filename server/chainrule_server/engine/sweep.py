"""A linear function at many seeds: all unit vectors, or as many as were sent.

The seeds go through in chunks of lanes. A chunk is one pass of the function over all its lanes (`batching`),
the chunks are the steps of a Scan, so memory is bounded and the kernel calls of a chunk don't depend on its
lanes. How many lanes make a chunk is a rule of the graph alone, since it may move bits.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

from chainrule.errors import Unsupported
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, cast, concat, equal, expand, reshape, slice_, zeros
from chainrule_server.engine.batching import vmap
from chainrule_server.engine.flat import Flat, define, finish, inline
from chainrule_server.engine.lower import lower
from chainrule_server.engine.plan import Plan
from chainrule_server.engine.stages import unsplit

# What the lanes of a chunk may take together: some caches full, and little beside a batch.
_CHUNK_BYTES = 32 * 2**20
# A batch whose size is not known yet is supposed to be this long.
_SAMPLE = 64

Lanes = Callable[[Builder, Sequence[Expr], int], list[Expr]]


class Seeds(NamedTuple):
    """Where seeds come from.

    Attributes:
        n: how many there are of each.
        steps: arrays with an entry a seed on the leading axis, cut into chunks.
        lanes: from a chunk of these to the seeds of `linear`, lanes in front.
    """

    n: int
    steps: tuple[Expr, ...]
    lanes: Lanes


def units(b: Builder, avals: Sequence[Aval]) -> Seeds:
    """Every unit vector of some values together, leaf by leaf."""
    sizes = [prod(a.dims) for a in avals]
    count = sum(sizes)
    number = Expr(b, b.add("Iota", dtype=DType.INT64, shape=(count,), axis=0))

    def lanes(inner: Builder, steps: Sequence[Expr], width: int) -> list[Expr]:
        index, start, out = reshape(steps[0], (width, 1)), 0, []
        for aval, size in zip(avals, sizes, strict=True):
            shape = (width, size)
            place = Expr(inner, inner.add("Iota", dtype=DType.INT64, shape=shape, axis=1))
            hot = cast(equal(place + start, index), aval.dtype)
            out.append(reshape(hot, (width, *aval.shape)))
            start += size
        return out

    return Seeds(count, (number,), lanes)


def given(stacked: Sequence[Expr], count: int) -> Seeds:
    """Seeds that are there, stacked."""
    return Seeds(count, tuple(stacked), lambda inner, steps, width: list(steps))


def sweep(b: Builder, linear: Flat, consts: Sequence[int], seeds: Seeds) -> list[Expr]:
    """The results of a linear function for all seeds, stacked on a new leading axis.

    Args:
        b: to emit into.
        linear: residuals, then seeds to results.
        consts: the residuals.
        seeds: where the seeds come from.
    """
    outs = linear.function.out_avals
    if not seeds.n:
        return [zeros(b, Aval(a.dtype, (0, *a.shape))) for a in outs]
    width = _width(linear, len(consts), seeds.n)
    body = _lanes_of(linear, len(consts), width)
    if body is None:
        width = 1
    if width >= seeds.n and body is not None:
        made = seeds.lanes(b, seeds.steps, seeds.n)
        rows = inline(b, body, [*consts, *(e.id for e in made)])
        return [Expr(b, row) for row in rows]
    n_steps = -(-seeds.n // width)
    step = _step(linear, body, len(consts), seeds, width)
    xs = [_chunks(b, x, n_steps, width).id for x in seeds.steps]
    rows = b.add_multi(
        "Scan",
        *consts,
        *xs,
        function=define(b, step),
        n_consts=len(consts),
        n_carry=0,
        length=n_steps,
        reverse=False,
        until=False,
        limit=False,
    )
    return [
        _first(reshape(Expr(b, row), (n_steps * width, *a.shape)), seeds.n)
        for row, a in zip(rows, outs, strict=True)
    ]


def measured(flat: Flat) -> Plan:
    """The plan of a function run whole, for its cost; a batch has a sample's length."""
    (stage,) = unsplit(lower(flat))
    batched = any(a.is_batched for a in flat.function.avals)
    return stage.plan(_SAMPLE if batched else 1)


def _width(linear: Flat, n_consts: int, count: int) -> int:
    """Lanes of a chunk: as many as the memory of a chunk allows, in chunks of about one size."""
    plan = measured(linear)
    ends = (*plan.function.in_avals[n_consts:], *plan.function.out_avals)
    lane = plan.scratch_bytes + sum(a.nbytes for a in ends)
    most = max(1, min(count, _CHUNK_BYTES // max(lane, 1)))
    return -(-count // -(-count // most))


def _lanes_of(linear: Flat, n_consts: int, width: int) -> Flat | None:
    """The function over lanes of its seeds; None where one of its loops takes no lanes."""
    f = linear.function
    axes = [None] * n_consts + [0] * (f.n_inputs - n_consts)
    try:
        return vmap(linear, axes, width)
    except Unsupported:
        return None


def _step(linear: Flat, body: Flat | None, n_consts: int, seeds: Seeds, width: int) -> Flat:
    """One chunk: residuals and a piece of the steps to results with the lanes in front."""
    inner = Builder()
    avals = linear.function.in_avals[:n_consts]
    consts = [inner.input(f"residual/{k}", a) for k, a in enumerate(avals)]
    pieces = [
        Expr(inner, inner.input(f"step/{k}", Aval(x.dtype, (width, *x.shape[1:]))))
        for k, x in enumerate(seeds.steps)
    ]
    made = seeds.lanes(inner, pieces, width)
    if body is not None:
        rows = inline(inner, body, [*consts, *(e.id for e in made)])
    else:
        alone = [reshape(e, e.shape[1:]).id for e in made]
        found = inline(inner, linear, [*consts, *alone])
        rows = tuple(_in_front(Expr(inner, row)).id for row in found)
    return finish(inner, rows, [f"result/{k}" for k in range(len(rows))], "lanes")


def _in_front(x: Expr) -> Expr:
    return expand(x, (1, *x.shape))


def _chunks(b: Builder, x: Expr, n_steps: int, width: int) -> Expr:
    """Entries in rows of one chunk each; what fills the last one up is zero, and nobody reads it."""
    count, rest = x.shape[0], x.shape[1:]
    assert isinstance(count, int)
    missing = n_steps * width - count
    if missing:
        x = concat([x, zeros(b, Aval(x.dtype, (missing, *rest)))], 0)
    return reshape(x, (n_steps, width, *rest))


def _first(x: Expr, count: int) -> Expr:
    if x.shape[0] == count:
        return x
    start = (0,) * x.aval.rank
    return slice_(x, start, (count, *x.shape[1:]), (1,) * x.aval.rank)
