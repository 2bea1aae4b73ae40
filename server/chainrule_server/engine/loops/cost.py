"""What a loop takes: memory of its bodies, made once, and operations, a bound where it may end early."""

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from chainrule.ir.attrs import AttrValue, callees
from chainrule.ir.avals import Aval
from chainrule.ir.graph import Function
from chainrule.ir.structure import infer_structure

if TYPE_CHECKING:
    from chainrule_server.engine.plan import Plan

AttrMap = dict[str, AttrValue]
# Steps of Anderson acceleration that are remembered.
HISTORY = 5


def items_of(function: Function) -> dict[int, tuple[int, ...]]:
    """The Item rows of each node that has several outputs."""
    found: dict[int, tuple[int, ...]] = {}
    for row, op in enumerate(function.ops):
        if op == "Item":
            node = function.inputs[row][0]
            found[node] = (*found.get(node, ()), row)
    return found


def loop_avals(function: Function, row: int, plans: "tuple[Plan, ...]") -> tuple[Aval, ...]:
    """Avals of all results of a loop, used or not."""
    bodies = [p.function for p in plans]
    node = function.node(row)
    attrs = {k: 0 if k == "function" else 1 if k == "otherwise" else v for k, v in node.attrs}
    avals = tuple(function.avals[i] for i in node.inputs)
    return infer_structure(node.op, avals, attrs, tuple(bodies))


def plan_bodies(
    function: Function,
    bodies: tuple[Function, ...],
    plan: "Callable[[Function, tuple[Function, ...]], Plan]",
) -> "dict[int, tuple[Plan, ...]]":
    """Plans of what each loop names; equal bodies share one."""
    made: dict[int, Plan] = {}
    found: dict[int, tuple[Plan, ...]] = {}
    for row, attrs in enumerate(function.attrs):
        names = callees(attrs)
        for index in names:
            if index not in made:
                made[index] = plan(bodies[index], bodies[:index])
        if names:
            found[row] = tuple(made[i] for i in names)
    return found


def loop_flops(op: str, attrs: AttrMap, plans: "tuple[Plan, ...]") -> int:
    """Operations of one run at most."""
    if op == "Cond":
        return max(p.flops for p in plans)
    if op == "Scan":
        return cast(int, attrs["length"]) * plans[0].flops
    state = plans[0].function.out_avals
    mixing = 4 * HISTORY * sum(a.size for a in state)
    return cast(int, attrs["max_iter"]) * (plans[0].flops + mixing)


def loop_bytes(op: str, attrs: AttrMap, plans: "tuple[Plan, ...]") -> int:
    """Memory that a bound loop holds beside its operands and results."""
    del attrs
    total = 0
    for plan in plans:
        ends = (*plan.function.in_avals, *plan.function.out_avals)
        total += plan.scratch_bytes + sum(a.nbytes + 64 for a in ends)
    if op == "FixedPoint":
        total += (2 * HISTORY + 4) * sum(8 * a.size for a in plans[0].function.out_avals)
    return total
