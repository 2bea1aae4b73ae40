"""Loops and branches that stay loops in the graph: `scan`, `while_loop`, `cond`.

A Python loop in traced code unrolls, which costs a row for each operation of each step. These cost their body
once, whatever the number of steps, and have every derivative.
"""

from collections.abc import Callable, Sequence
from typing import Any

from chainrule.errors import ErrorCode, ShapeMismatch, TraceError
from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval, DType
from chainrule.tracing.bodies import Body, Slot, call_body, emit_structure, share_closures
from chainrule.tracing.carries import Carry
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, inside, tape_now, typed
from chainrule.tracing.promotion import promote
from chainrule.tracing.refusals import refuse
from chainrule.tracing.source import user_source
from chainrule.tracing.tracer import Tracer

MAX_STEPS = 1_000_000


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    init: Any,
    xs: Any = None,
    length: int | None = None,
    reverse: bool = False,
) -> tuple[Any, Any]:
    """Steps along the leading axis of xs, as in JAX: `carry, y = f(carry, x)`.

    What f closes over is the same in each step, and differentiated.

    Args:
        f: takes the carry and a slice of xs; gives the carry in the same shape and dtype, and a tree.
        init: the first carry.
        xs: a tree of arrays with the steps on the leading axis; None where f needs no slices.
        length: the number of steps, needed where xs has no arrays.
        reverse: from the last slice to the first; ys stay in the order of xs.

    Returns:
        (the last carry, the y of all steps stacked on a leading axis).

    Raises:
        TraceError: lengths that differ or depend on the batch; a carry of another structure.
        ShapeMismatch: a carry that changes its shape or dtype; names the leaf.
    """
    inside("scan")
    slices = [(name, as_tracer(leaf)) for name, leaf in leaves_of(xs, "xs")]
    steps = _steps(slices, length)
    carry = Carry(init, "carry")
    inner = rebuild(xs, [Slot(Aval(x.aval.dtype, x.shape[1:]), x.weak) for _, x in slices])
    body = carry.body(f, (inner,), _pair, counted=True)
    k = len(carry.values)
    avals = [
        aval if i < k else Aval(aval.dtype, (steps, *aval.shape))
        for i, aval in enumerate(body.out_avals)
    ]
    found = _scanned(body, carry, [x for _, x in slices], steps, avals, reverse=bool(reverse))
    return rebuild(carry.tree, found[:k]), rebuild(body.result[1], found[k:])


def _scanned(
    body: Body,
    carry: Carry,
    slices: list[Tracer],
    length: int,
    avals: Sequence[Aval],
    reverse: bool = False,
    until: bool = False,
) -> list[Tracer]:
    """The row of a Scan. Steps are counted where the body draws random numbers, others in each step."""
    counts: list[Tracer] = []
    consts = share_closures(body, after=0)
    order = body.tape.order
    assert order is not None
    if body.tape.draws:
        attrs: dict[str, AttrValue] = {"dtype": DType.INT64, "shape": (length,), "axis": 0}
        counts = [Tracer(tape_now(), tape_now().record("Iota", (), attrs))]
    else:
        body.tape.order = tuple(row for row in order if row != body.tape.step)
    return emit_structure(
        "Scan",
        body,
        [*consts, *carry.values, *slices, *counts],
        {
            "n_consts": len(consts),
            "n_carry": len(carry.values),
            "length": length,
            "reverse": reverse,
            "until": until,
            "limit": False,
        },
        avals,
    )


def while_loop(
    cond: Callable[[Any], Any], body: Callable[[Any], Any], init: Any, max_iter: int | None = None
) -> Any:
    """`while cond(c): c = body(c)`, for at most max_iter steps; differentiable backwards too.

    A loop has to have a bound, since its cost is known before it runs; where it is reached the loop ends
    with the carry of that step. The derivative runs over the steps taken.

    Args:
        cond: a scalar truth of the carry.
        body: the carry of the next step, in the same shape and dtype.
        init: the first carry.
        max_iter: the most steps; memory for a gradient grows with it.

    Raises:
        TraceError: no bound; a condition that is no scalar.
        ShapeMismatch: a carry that changes its shape or dtype; names the leaf.
    """
    inside("while_loop")
    if max_iter is None:
        raise refuse(
            "cr.while_loop without max_iter, which may run for ever",
            "give the most steps it may take: max_iter=100",
        )
    if not 1 <= max_iter <= MAX_STEPS:
        raise refuse(f"max_iter={max_iter}", f"give a number of steps from 1 to {MAX_STEPS}")

    def step(carry: Any) -> tuple[Any, Any]:
        following = body(carry)
        done: Any = ~_truth(cond(following))
        return following, done

    step.__name__ = getattr(body, "__name__", "step")

    def loop(start: Any) -> Any:
        carry = Carry(start, "carry")
        k = len(carry.values)
        inner = carry.body(step, parts=lambda out: (out[0], lambda c: (out[1], c)), counted=True)
        avals = (*inner.out_avals[1:], Aval(DType.INT64, ()))
        found = _scanned(inner, carry, [], max_iter, avals, until=True)
        return rebuild(start, found[:k])

    return choose(_truth(cond(init)), loop, lambda start: start, (init,))


def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], *operands: Any
) -> Any:
    """`true_fn(*operands) if pred else false_fn(*operands)`; only the branch taken runs.

    Args:
        pred: a scalar truth.
        true_fn, false_fn: give trees of equal structure, shapes and dtypes.
        operands: given to both. What the branches close over enters too.

    Raises:
        TraceError: pred is no scalar, or the structures differ.
        ShapeMismatch: results that differ in shape or dtype; names the leaf.
    """
    inside("cond")
    return choose(_truth(pred), true_fn, false_fn, operands)


def choose(
    pred: Tracer, yes: Callable[..., Any], no: Callable[..., Any], operands: tuple[Any, ...]
) -> Any:
    """The row of a Cond."""
    root = tape_now().root
    mark = len(root.bodies)
    first, second = call_body(yes, operands, {}), call_body(no, operands, {})
    dtypes = _common(first, second)
    if any(
        a.dtype is not d or b.dtype is not d
        for a, b, d in zip(first.out_avals, second.out_avals, dtypes, strict=True)
    ):
        # A Python scalar takes the dtype of the other branch: both are traced again, with it.
        del root.bodies[mark:]
        first = call_body(_cast(yes, dtypes), operands, {})
        second = call_body(_cast(no, dtypes), operands, {})
    given = [Tracer(tape_now(), row) for row in first.given if row is not None]
    closures = share_closures(first, second)
    found = emit_structure(
        "Cond", first, [pred, *given, *closures], {"otherwise": second.index}, first.out_avals
    )
    return rebuild(first.result, found)


def _cast(f: Callable[..., Any], dtypes: list[DType]) -> Callable[..., Any]:
    def branch(*operands: Any) -> Any:
        out = f(*operands)
        leaves = [leaf for _, leaf in leaves_of(out, "out")]
        return rebuild(out, [as_tracer(v, d) for v, d in zip(leaves, dtypes, strict=True)])

    branch.__name__ = getattr(f, "__name__", "branch")
    return branch


def _common(first: Body, second: Body) -> list[DType]:
    yes, no = leaves_of(first.result, "out"), leaves_of(second.result, "out")
    if [name for name, _ in yes] != [name for name, _ in no]:
        raise refuse(
            f"the branches of cr.cond return {[n for n, _ in yes]} and {[n for n, _ in no]}",
            "return trees of equal structure",
        )
    dtypes = []
    for (name, a), (_, b), mine, other in zip(
        yes, no, first.out_avals, second.out_avals, strict=True
    ):
        kinds = [typed(a), typed(b)]
        found = promote(kinds).dtype
        strong = [k.dtype for k in kinds if not k.weak]
        if mine.shape != other.shape or any(d is not found for d in strong):
            raise ShapeMismatch(
                f"{name} of cr.cond is {mine} in one branch and {other} in the other",
                code=ErrorCode.SHAPE_MISMATCH,
                line=user_source().text or None,
                cure="give equal shapes and dtypes: np.broadcast_to, .astype",
            )
        dtypes.append(found)
    return dtypes


def _truth(value: Any) -> Tracer:
    found = as_tracer(value)
    if found.shape:
        raise refuse(
            f"a condition of shape {found.shape}, not one truth",
            "reduce it with np.all or np.any; choose by element with np.where",
        )
    return found if found.aval.dtype is DType.BOOL else as_tracer(found != 0)


def _pair(out: Any) -> tuple[Any, Callable[[Any], Any]]:
    if not isinstance(out, tuple) or len(out) != 2:
        raise refuse(
            f"the body of cr.scan returns {type(out).__name__}",
            "return (carry, y); y is None where no step gives a value",
        )
    return out[0], lambda carry: (carry, out[1])


def _steps(slices: list[tuple[str, Tracer]], length: int | None) -> int:
    for name, x in slices:
        if not x.shape:
            raise refuse(f"{name} has no axis to step along", "give arrays with the steps in front")
    lengths = {x.shape[0] for _, x in slices} | ({length} if length is not None else set())
    if len(lengths) != 1:
        what = f"steps of {', '.join(f'{n}: {x.shape[0]}' for n, x in slices) or 'no array'}"
        raise refuse(
            f"cr.scan has {what}" + ("" if length is None else f" and length={length}"),
            "give one number of steps: arrays of equal length, or length=",
        )
    steps = int(lengths.pop())
    n = tape_now().n
    if n is not None and steps and steps % n == 0:
        raise TraceError(
            "cr.scan steps along the batch, whose length is not fixed",
            code=ErrorCode.TRACE,
            line=user_source().text or None,
            cure="compute with the whole batch at once, or scan another axis: np.swapaxes(x, 0, 1)",
        )
    if not 0 <= steps <= MAX_STEPS:
        raise refuse(f"cr.scan of {steps} steps", f"give a number from 0 to {MAX_STEPS}")
    return steps
