"""May a batch be cut through a loop? Its body is analysed like any function, the carry until it settles."""

from collections.abc import Callable, Sequence
from typing import cast

from chainrule.ir.attrs import AttrValue
from chainrule.ir.graph import Function
from chainrule.ir.structure import ScanShape
from chainrule_server.engine.states import Batched, Meets, Partial, Replicated, State, available

AttrMap = dict[str, AttrValue]
Analyse = Callable[[Function, Sequence[State], bool], list[State]]


def loop_states(
    op: str,
    ins: Sequence[State],
    attrs: AttrMap,
    bodies: Sequence[Function],
    analyse: Analyse,
    is_zero: Sequence[bool],
) -> list[State]:
    """The states of all outputs of a loop.

    Args:
        op: Cond, Scan or FixedPoint.
        ins: states of its operands.
        attrs: of the node.
        bodies: its functions.
        analyse: gives the states of a function's outputs from those of its inputs; where told, it refuses a
            function in which shards would have to meet.
        is_zero: per operand, whether it is a constant zero: then it may start a sum over examples.

    Raises:
        Meets: examples meet inside.
    """
    level = max((available(s) for s in ins), default=0)
    given = [_settled(s, level) for s in ins]
    if op == "Cond":
        if isinstance(given[0], Batched):
            raise Meets("a condition that differs between examples")
        sides = [analyse(body, given[1:], True) for body in bodies]
        for a, b in zip(*sides, strict=True):
            if _kind(a) != _kind(b):
                raise Meets("the branches of a condition split differently")
        return [_max_level(a, level) for a in sides[0]]
    if op == "Scan":
        return _scan(given, ScanShape.of(attrs), bodies[0], analyse, is_zero, level)
    return _fixed_point(given, cast(int, attrs["n_consts"]), bodies[0], analyse, level, attrs)


def _scan(
    given: list[State],
    shape: ScanShape,
    body: Function,
    analyse: Analyse,
    is_zero: Sequence[bool],
    level: int,
) -> list[State]:
    first = int(shape.limit)
    if first and isinstance(given[0], Batched):
        raise Meets("a limit that differs between examples")
    given, is_zero = given[first:], is_zero[first:]
    nc, nk = shape.n_consts, shape.n_carry
    xs = [_inner(s) for s in given[nc + nk :]]
    done = int(shape.until)
    # A carry that begins at zero may be a sum over examples that grows: supposed until the body contradicts.
    carry: list[State] = [
        Partial("sum", level) if is_zero[nc + i] and isinstance(s, Replicated) else s
        for i, s in enumerate(given[nc : nc + nk])
    ]
    # Each round settles a carry for good, so nk + 1 rounds are enough.
    for _ in range(nk + 2):
        outs = analyse(body, [*given[:nc], *carry, *xs], False)
        moved = [
            _joined(old, new, level) for old, new in zip(carry, outs[done : done + nk], strict=True)
        ]
        if moved == carry:
            break
        carry = moved
    else:
        raise Meets("the carry of a loop doesn't settle")
    outs = analyse(body, [*given[:nc], *carry, *xs], True)
    if done and not isinstance(outs[0], Replicated):
        raise Meets("a loop that ends at another step for each example")
    ys = [_outer(s) for s in outs[done + nk :]]
    steps: list[State] = [Replicated(level)] if done else []
    return [_max_level(s, level) for s in (*carry, *ys)] + steps


def _fixed_point(
    given: list[State],
    nc: int,
    body: Function,
    analyse: Analyse,
    level: int,
    attrs: AttrMap,
) -> list[State]:
    state = list(given[nc:])
    outs = analyse(body, given, True)
    if all(isinstance(s, Replicated) for s in (*state, *outs)):
        return [Replicated(level)] * (len(outs) + 2)
    # Examples that converge together share their steps; only those that freeze alone may be looked at apart.
    if not attrs["per_example"]:
        raise Meets("a fixed point of all examples together (per_example=True solves each alone)")
    for s in (*state, *outs):
        if not isinstance(s, Batched) or s.axis != 0 or s.outer not in (None, 1):
            raise Meets("a fixed point whose examples don't stay on the leading axis")
    settled: list[State] = [Batched(0, 1, level) for _ in outs]
    return [*settled, Partial("max", level), Partial("max", level)]


def _settled(state: State, level: int) -> State:
    """What the inside sees: a partial is combined before the loop."""
    return Replicated(level) if isinstance(state, Partial) else _max_level(state, level)


def _max_level(state: State, level: int) -> State:
    if isinstance(state, Batched):
        return Batched(state.axis, state.outer, max(state.level, level))
    if isinstance(state, Partial):
        return Partial(state.how, max(state.level, level))
    return Replicated(max(state.level, level))


def _inner(state: State) -> State:
    """A slice along the leading axis."""
    if isinstance(state, Batched):
        if state.axis == 0:
            raise Meets("a scan over the examples")
        return Batched(state.axis - 1, state.outer, state.level)
    return state


def _outer(state: State) -> State:
    """Slices stacked along a new leading axis."""
    return (
        Batched(state.axis + 1, state.outer, state.level) if isinstance(state, Batched) else state
    )


def _joined(old: State, new: State, level: int) -> State:
    """The state of a carry that goes in as `old` and comes out as `new`."""
    if isinstance(old, Batched) and isinstance(new, Batched):
        differ = None not in (old.outer, new.outer) and old.outer != new.outer
        if old.axis != new.axis or differ:
            raise Meets("a carry whose examples change their order")
        return Batched(old.axis, old.outer or new.outer, level)
    if isinstance(old, Partial):
        return old if isinstance(new, Partial) and new.how == "sum" else Replicated(level)
    if isinstance(new, Partial):
        raise Meets("a loop adds sums over examples to a start that isn't zero")
    return new if isinstance(new, Batched) else Replicated(level)


def _kind(state: State) -> tuple[object, ...]:
    if isinstance(state, Batched):
        return ("batched", state.axis, state.outer)
    return ("partial", state.how) if isinstance(state, Partial) else ("replicated",)
