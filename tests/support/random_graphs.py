"""Random functions for property tests: smooth or kinked, with and without a batch axis."""

import random
from collections.abc import Callable, Sequence
from math import prod

from chainrule.ir.avals import Aval, BatchDim, Dim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import (
    Expr,
    apply,
    cast,
    concat,
    cos,
    cum_sum,
    dft,
    equal,
    erf,
    exp,
    expand,
    gather,
    less,
    log,
    maximum,
    minimum,
    pad,
    reduce_max,
    reduce_sum,
    reshape,
    scatter_add,
    sin,
    slice_,
    sqrt,
    stop_gradient,
    tanh,
    transpose,
    unfold,
    where,
)
from chainrule.ir.graph import Function
from chainrule.ir.matrices import identity, solve

F = DType.FLOAT64
PLAIN: tuple[tuple[Dim, ...], ...] = ((), (3,), (2, 3), (3, 2), (1, 3), (2, 1), (3, 3))
BATCHED: tuple[tuple[Dim, ...], ...] = (
    (BatchDim(1),),
    (BatchDim(1), 3),
    (BatchDim(1), 2, 3),
    (2, BatchDim(1)),
    (BatchDim(2), 3),
    (3,),
    (3, 3),
    (),
)
# Each keeps values of a few units within a few units.
_SMOOTH: tuple[Callable[[Expr], Expr], ...] = (
    sin,
    cos,
    tanh,
    lambda x: exp(tanh(x)),
    lambda x: log(x * x + 1.5),
    lambda x: sqrt(x * x + 0.5),
    erf,
    lambda x: apply("Expm1", tanh(x)),
    lambda x: apply("Log1p", x**2),
    lambda x: tanh(x) ** 3,
    lambda x: (x * x + 1.0) ** -2,
    lambda x: -x,
    lambda x: x / 1.0 * 1.0,
    lambda x: x * 0.75 + 0.25,
    lambda x: 2.0 / (x * x + 1.0),
)
_KINKED: tuple[Callable[[Expr], Expr], ...] = (
    abs,
    lambda x: maximum(x, x.like(0.1)),
    lambda x: where(less(x, x.like(0.3)), x, x * 0.5),
    stop_gradient,
    lambda x: apply("Sign", x) * x,
)


def random_function(
    r: random.Random,
    *,
    nodes: int = 12,
    batched: bool = False,
    kinks: bool = True,
    scalar: bool = False,
    n_inputs: int = 3,
) -> Function:
    """A function of floats and one int64 vector `k` (3,) with values 0 ... 2.

    Args:
        r: makes every choice.
        nodes: steps; each adds a few rows.
        batched: some shapes hold k*N.
        kinks: with ops that have no derivative somewhere.
        scalar: the first output is a scalar.
        n_inputs: float inputs.
    """
    b = Builder()
    shapes = BATCHED if batched else PLAIN
    values = [Expr(b, b.input(f"x{i}", Aval(F, r.choice(shapes)))) for i in range(n_inputs)]
    k = Expr(b, b.input("k", Aval(DType.INT64, (3,))))
    for _ in range(nodes):
        made = _step(r, values, k, kinks)
        if made is not None and _elements(made) <= 300:
            values.append(made)
    late = values[n_inputs:] or values
    outputs = [r.choice(late) for _ in range(2)] + [r.choice(values)]
    if scalar:
        mixed = reduce_sum(late[-1], range(late[-1].aval.rank))
        for x in late[:-1][-3:]:
            mixed = mixed + tanh(reduce_sum(x, range(x.aval.rank)))
        outputs[0] = mixed
    return b.finish([e.id for e in outputs], [f"y{i}" for i in range(len(outputs))])


def _elements(x: Expr) -> int:
    return prod(d.k if isinstance(d, BatchDim) else max(d, 1) for d in x.shape)


def _step(r: random.Random, values: Sequence[Expr], k: Expr, kinks: bool) -> Expr | None:
    x = r.choice(values[-6:])
    kind = r.randrange(16)
    if kind < 3:
        return r.choice(_SMOOTH)(x)
    if kind < 5:
        return _pair(r, x, values)
    if kind == 5 and kinks:
        return r.choice(_KINKED)(x)
    if kind == 6:
        return _reduced(r, x, kinks)
    if kind == 7 and x.aval.rank > 1:
        return transpose(x, r.sample(range(x.aval.rank), x.aval.rank))
    if kind == 8:
        return _reshaped(r, x)
    if kind == 9:
        return _cut(r, x)
    if kind == 10:
        return _product(r, x, values)
    if kind == 11:
        return _picked(r, x, k)
    if kind == 12 and x.aval.rank:
        axis = r.randrange(x.aval.rank)
        same = [v for v in values if v.shape == x.shape]
        return concat([x, r.choice(same)], r.choice((axis, axis - x.aval.rank)))
    if kind == 13:
        return _along(r, x)
    if kind == 14:
        return _system(x)
    return _spread(r, x)


def _pair(r: random.Random, x: Expr, values: Sequence[Expr]) -> Expr | None:
    y = r.choice([v for v in values if _broadcasts(x, v)])
    op = r.randrange(6)
    if op == 0:
        return x + y
    if op == 1:
        return x - y
    if op == 2:
        return sin(x * y)
    if op == 3:
        return tanh(x) / (y * y + 1.0)
    if op == 4:
        return apply("Pow", x * x + 0.5, tanh(y))
    return maximum(x, sin(y)) - minimum(y, cos(x))


def _broadcasts(x: Expr, y: Expr) -> bool:
    pairs = zip(reversed(x.shape), reversed(y.shape), strict=False)
    return all(1 in (a, c) or a == c for a, c in pairs)


def _reduced(r: random.Random, x: Expr, kinks: bool) -> Expr:
    rank = x.aval.rank
    axes = [a - rank * r.randrange(2) for a in range(rank) if r.random() < 0.5]
    keep = r.random() < 0.5
    if kinks and 0 not in x.shape and r.random() < 0.3:
        return reduce_max(x, axes, keep)
    return tanh(reduce_sum(x, axes, keep) * 0.3)


def _reshaped(r: random.Random, x: Expr) -> Expr:
    """Axes joined, split or swapped in name only, the batch axis among them."""
    shape = list(x.shape)
    if len(shape) > 1 and r.random() < 0.6:
        at = r.randrange(len(shape) - 1)
        a, c = shape[at], shape[at + 1]
        ks = (a.k if isinstance(a, BatchDim) else a) * (c.k if isinstance(c, BatchDim) else c)
        batch = isinstance(a, BatchDim) or isinstance(c, BatchDim)
        if not (isinstance(a, BatchDim) and isinstance(c, BatchDim)):
            shape[at : at + 2] = [BatchDim(ks) if batch and ks else ks]
    elif shape and r.random() < 0.7:
        at = r.randrange(len(shape))
        dim = shape[at]
        size = dim.k if isinstance(dim, BatchDim) else dim
        for factor in (2, 3):
            if size and size % factor == 0:
                rest: Dim = (
                    BatchDim(size // factor) if isinstance(dim, BatchDim) else size // factor
                )
                shape[at : at + 1] = [factor, rest] if r.random() < 0.5 else [rest, factor]
                break
    else:
        shape.insert(r.randrange(len(shape) + 1), 1)
    return reshape(x, tuple(shape))


def _cut(r: random.Random, x: Expr) -> Expr | None:
    """Slice, Flip or Pad, along plain axes and at multiples of N."""
    rank = x.aval.rank
    if not rank:
        return None
    at = r.randrange(rank)
    dim = x.shape[at]
    none: list[Dim] = [0] * rank
    what = r.randrange(3)
    if what == 0 and not isinstance(dim, BatchDim):
        return apply("Flip", x, axes=(at - rank * r.randrange(2),))
    if isinstance(dim, BatchDim):
        amount: Dim = BatchDim(1)
        if what == 1 and dim.k > 1:
            return slice_(x, [*none[:at], amount, *none[at + 1 :]], x.shape, [1] * rank)
        low: list[Dim] = [*none]
        low[at] = amount
        cut: list[Dim] = [*none]
        cut[at] = BatchDim(-1)
        return pad(x, low, r.choice((none, cut)), [0] * rank)
    if what == 1:
        starts, steps = [*none], [1] * rank
        starts[at], steps[at] = r.randrange(dim + 1), r.choice((1, 2))
        return slice_(x, starts, x.shape, steps)
    low, high, inner = [*none], [*none], [0] * rank
    low[at], high[at], inner[at] = r.choice((0, 1, -1)), r.choice((0, 2)), r.choice((0, 1))
    return pad(x, low, high, inner) if dim else None


def _product(r: random.Random, x: Expr, values: Sequence[Expr]) -> Expr | None:
    if x.aval.rank < 2:
        return None
    fits = [v for v in values if v.aval.rank == 2 and v.shape[0] == x.shape[-1]]
    y = r.choice(fits) if fits else x.mT
    return sin((x @ y) * 0.5)


def _picked(r: random.Random, x: Expr, k: Expr) -> Expr | None:
    plain = [a for a, d in enumerate(x.shape) if d == 3]
    if not plain:
        return None
    axis = r.choice(plain)
    if r.random() < 0.5:
        return gather(x, k, axis - x.aval.rank * r.randrange(2))
    return scatter_add(k, x, axis, 3)


def _along(r: random.Random, x: Expr) -> Expr | None:
    """Running sums, windows and transforms, along plain axes."""
    plain = [a for a, d in enumerate(x.shape) if isinstance(d, int) and d > 1]
    if not plain:
        return None
    axis = r.choice(plain)
    what = r.randrange(3)
    if what == 0:
        return tanh(cum_sum(x, axis, r.random() < 0.5, r.random() < 0.5) * 0.3)
    if what == 1:
        windows = unfold(x, (axis - x.aval.rank,), (2,), (r.choice((1, 2)),), (1,))
        return sin(reduce_sum(windows * windows, (windows.aval.rank - 1,)) * 0.5)
    if x.shape[-1] == 2 and axis < x.aval.rank - 1:
        return tanh(dft(x, (axis,), r.random() < 0.5) * 0.3)
    return None


def _system(x: Expr) -> Expr | None:
    """(x x^T + 2)^-1 x, of matrices whose rows are no examples."""
    if x.aval.rank < 2 or isinstance(x.shape[-1], BatchDim) or isinstance(x.shape[-2], BatchDim):
        return None
    return solve(x @ x.mT + identity(x, x.shape[-2]) * 2.0, x)


def _spread(r: random.Random, x: Expr) -> Expr | None:
    if x.aval.rank > 2:
        return None
    mask = cast(equal(x, x.like(0.0)), x.dtype)
    return expand(x + mask, (2, *x.shape))
