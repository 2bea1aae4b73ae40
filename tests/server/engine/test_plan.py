"""What runs when, and where: no two live values in one place, and memory as promised."""

import random
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import (
    Expr,
    apply,
    cos,
    exp,
    expand,
    reduce_sum,
    reshape,
    sin,
    slice_,
    tanh,
    transpose,
)
from chainrule.ir.graph import Debug, Function
from chainrule_server.engine.autodiff import vjp
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.plan import Plan, plan_function
from support.random_graphs import random_function
from support.written import f8, function, i8


def gradient_of(seed: int) -> Function:
    f = random_function(random.Random(seed), nodes=14, scalar=True)
    wrt = [i for i, aval in enumerate(f.in_avals) if aval.dtype.is_float]
    return vjp(Flat(f, Debug()), wrt, (0,)).function


def memory(plan: Plan, row: int) -> tuple[str, int, int] | None:
    """Which block a row's elements lie in, from where to where; None for inputs and leaves."""
    home = plan.homes[row]
    while home is not None and home.kind == "view":
        row, home = home.at, plan.homes[home.at]
    if home is None or home.kind in ("input", "leaf"):
        return None
    if home.kind == "output":
        return f"output {home.at}", 0, 1
    return "arena", home.at, home.at + plan.function.avals[row].nbytes


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_what_a_kernel_reads_is_what_was_written_there_last(seed: int) -> None:
    # A simulation of the plan that knows nothing of liveness: every byte remembers who wrote it.
    plan = plan_function(gradient_of(seed))
    f = plan.function
    owner: dict[tuple[str, int], int] = {}

    def root(row: int) -> int:
        home = plan.homes[row]
        return root(home.at) if home is not None and home.kind == "view" else row

    def check(row: int) -> None:
        place = memory(plan, row)
        if place is not None:
            block, lo, hi = place
            assert {owner.get((block, at)) for at in range(lo, hi)} <= {root(row)}

    for row in plan.order:
        for i in f.inputs[row]:
            check(i)
        place = memory(plan, row)
        assert place is not None
        block, lo, hi = place
        assert block != "arena" or (lo % 64 == 0 and hi <= plan.arena_bytes)
        # In place only onto an operand that lies there as a whole; otherwise no operand is touched.
        for i in f.inputs[row]:
            there = memory(plan, i)
            if there is not None and there[0] == block and block == "arena":
                overlap = there[1] < hi and lo < there[2]
                assert not overlap or (there[1:] == (lo, hi) and f.avals[i] == f.avals[row])
        owner |= {(block, at): row for at in range(lo, hi)}
    for k, row in enumerate(f.outputs):
        check(row)
        copied = (k, row) in plan.copies
        home = plan.homes[row]
        assert copied or (home is not None and (home.kind, home.at) == ("output", k))


def test_a_chain_of_elementwise_ops_runs_in_one_buffer() -> None:
    def body(x: Expr) -> Expr:
        for _ in range(10):
            x = tanh(sin(x) * 0.5)
        return reduce_sum(x, (0,))

    plan = plan_function(function({"x": f8(1000)}, body))
    assert plan.arena_bytes == 8000
    assert len(plan.order) == 31


def test_an_operand_that_is_read_later_keeps_its_buffer() -> None:
    plan = plan_function(function({"x": f8(8)}, lambda x: reduce_sum(cos(sin(x)) * sin(x), (0,))))
    sine, cosine, product = plan.order[:3]
    assert memory(plan, sine) != memory(plan, cosine)
    assert memory(plan, product) in (memory(plan, sine), memory(plan, cosine))


def test_a_view_of_an_operand_keeps_the_operand() -> None:
    # exp(s) may not take s's buffer: s is shown once more, transposed
    def body(x: Expr) -> Expr:
        s = sin(x)
        return transpose(s, (1, 0)) @ exp(s)

    plan = plan_function(function({"x": f8(3, 3)}, body))
    sine, exponential = plan.order[:2]
    assert memory(plan, sine) != memory(plan, exponential)


def test_movement_takes_no_memory_and_no_step() -> None:
    def body(x: Expr) -> Expr:
        y = slice_(transpose(reshape(x, (3, 2, 2)), (2, 0, 1)), (0, 1, 0), (2, 3, 2), (1, 1, 2))
        return reduce_sum(expand(apply("Flip", y, axes=(0,)), (5, 2, 2, 1)), (0, 1, 2, 3))

    plan = plan_function(function({"x": f8(12)}, body))
    assert [plan.function.ops[row] for row in plan.order] == ["ReduceSum"]
    assert plan.arena_bytes == 0


def test_outputs_are_computed_in_place_or_copied_at_the_end() -> None:
    def body(x: Expr) -> dict[str, Expr]:
        y = sin(x)
        return {"y": y, "again": y, "x": x, "turned": transpose(y, (1, 0)), "one": x.like(1.0)}

    plan = plan_function(function({"x": f8(2, 3)}, body))
    assert plan.copies == tuple((k, plan.function.outputs[k]) for k in (1, 2, 3, 4))
    assert plan.arena_bytes == 0


def test_rows_that_nothing_reads_have_no_home() -> None:
    b = Builder()
    x = b.input("x", f8(3))
    b.add("Exp", x)
    plan = plan_function(b.finish([b.add("Sin", x)], ["y"]))
    assert plan.homes[1] is None
    assert len(plan.order) == 1


@pytest.mark.parametrize("shape", [(10**6, 10**6), (2**30, 2**29), (1, 2**31 - 1, 2**28)])
def test_enormous_values_are_planned_without_being_allocated(shape: tuple[int, ...]) -> None:
    def body(x: Expr) -> Expr:
        wide = expand(x, shape) * expand(x, shape)
        return reduce_sum(sin(wide) + 1.0, range(len(shape)))

    plan = plan_function(function({"x": f8(1)}, body))
    nbytes = 8 * prod(shape)
    assert nbytes <= plan.arena_bytes <= nbytes + 192
    assert plan.flops > 10 * prod(shape)


def test_leaves_are_counted_as_they_are_stored() -> None:
    def leaf_bytes(*rows: tuple[object, tuple[int, ...] | None]) -> int:
        b = Builder()
        x = b.input("x", i8())
        made = [b.constant(value, None, shape) for value, shape in rows]
        names = [f"c{i}" for i in range(len(made))]
        return plan_function(b.finish([x, *made], ["x", *names])).leaf_bytes

    assert leaf_bytes((np.arange(100.0), None)) == 832
    assert leaf_bytes((1.5, (10**6, 10**6))) == 64
    assert leaf_bytes((np.zeros((0, 3)), None)) == 0
    assert leaf_bytes((np.arange(100.0), None), (2.5, None)) == 896


def test_the_arena_is_no_larger_than_what_lives_together() -> None:
    def body(x: Expr) -> Expr:
        values = [sin(x * float(i)) for i in range(500)]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return reduce_sum(total, (0,))

    plan = plan_function(function({"x": f8(16)}, body))
    assert plan.arena_bytes == 128 * 500


def test_a_shape_that_no_array_has_is_refused_before_there_is_a_plan() -> None:
    with pytest.raises(ChainruleError) as caught:
        function({"x": Aval(f8().dtype, (1, 1))}, lambda x: expand(x, (2**31 - 1, 2**31 - 1)))
    assert caught.value.code is ErrorCode.TOO_LARGE
