"""A bound plan: the oracle's numbers, in the promised memory, again and again."""

import random
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode, NumericError
from chainrule.ir.avals import Aval, DType
from chainrule.ir.expr import (
    Expr,
    apply,
    cast,
    concat,
    exp,
    expand,
    gather,
    less,
    pad,
    reduce_max,
    reduce_sum,
    reshape,
    scatter_add,
    sin,
    tanh,
    transpose,
    where,
)
from chainrule.ir.graph import Debug, Function
from chainrule_server.engine import plan as planning
from chainrule_server.engine.autodiff import vjp
from chainrule_server.engine.executor import Instance, aligned_bytes, evaluate
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.plan import plan_function
from support import naive
from support.random_graphs import random_function
from support.written import Array, f4, f8, feeds_for, function, i8

KIB = 1024


def gradient_of(seed: int) -> tuple[Function, dict[str, Array]]:
    f = random_function(random.Random(seed), nodes=14, scalar=True)
    wrt = [i for i, aval in enumerate(f.in_avals) if aval.dtype.is_float]
    g = vjp(Flat(f, Debug()), wrt, (0,)).function
    return g, feeds_for(g, 1, seed)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_a_run_gives_the_oracles_numbers_and_leaves_its_inputs_alone(seed: int) -> None:
    f, feeds = gradient_of(seed)
    before = {name: value.copy() for name, value in feeds.items()}
    got = evaluate(plan_function(f), list(feeds.values()))
    for value, want in zip(got, naive.outputs(f, feeds).values(), strict=True):
        np.testing.assert_allclose(value, want, rtol=1e-12, atol=1e-12)
    for name, value in feeds.items():
        assert value.tobytes() == before[name].tobytes()


@pytest.mark.parametrize("seed", range(25))
def test_running_in_place_moves_no_bit(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    f, feeds = gradient_of(seed)
    inside = evaluate(plan_function(f), list(feeds.values()))
    monkeypatch.setattr(planning, "_takes_over", lambda *args: None)
    apart = evaluate(plan_function(f), list(feeds.values()))
    for a, b in zip(inside, apart, strict=True):
        assert a.tobytes() == b.tobytes()


def test_an_instance_runs_again_on_what_lies_in_its_inputs_then() -> None:
    f = function({"x": f8(3)}, lambda x: {"y": tanh(sin(x) * 2.0), "x": x})
    x, y, same = np.zeros(3), np.full(3, np.nan), np.full(3, np.nan)
    instance = Instance(plan_function(f), [x], [y, same])
    for start in (0.0, 1.0, 2.0):
        x[:] = np.arange(3.0) + start
        instance.run()
        np.testing.assert_array_equal(y, np.tanh(np.sin(x) * 2.0))
        np.testing.assert_array_equal(same, x)


def test_outputs_that_are_inputs_views_constants_or_leave_twice() -> None:
    def body(x: Expr) -> dict[str, Expr]:
        y = sin(x)
        return {
            "y": y,
            "again": y,
            "x": x,
            "turned": transpose(y, (1, 0)),
            "wide": expand(reshape(x, (2, 1, 3)), (2, 2, 3)),
            "one": expand(x.like(1.0), (4,)),
        }

    f = function({"x": f8(2, 3)}, body)
    x = np.arange(6.0).reshape(2, 3)
    for got, want in zip(
        evaluate(plan_function(f), [x]), naive.outputs(f, {"x": x}).values(), strict=True
    ):
        np.testing.assert_array_equal(got, want)
        assert got.flags.c_contiguous


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1, 1)])
def test_arrays_of_no_axis_and_of_no_element(shape: tuple[int, ...]) -> None:
    def body(x: Expr) -> dict[str, Expr]:
        y = exp(x) * x + 1.0
        return {"y": y, "sum": reduce_sum(y, range(len(shape))), "flat": reshape(y, (x.aval.size,))}

    f = function({"x": f8(*shape)}, body)
    x = np.full(shape, 0.5)
    got = evaluate(plan_function(f), [x])
    for value, want in zip(got, naive.outputs(f, {"x": x}).values(), strict=True):
        assert value.shape == want.shape
        np.testing.assert_allclose(value, want, rtol=1e-15)


BIG = 60_000
FAMILIES: dict[str, tuple[dict[str, Aval], Callable[..., Expr | dict[str, Expr]]]] = {
    "elementwise": ({"x": f8(BIG)}, lambda x: tanh(sin(x) * x + 0.5) / (x * x + 1.0)),
    "float32": ({"x": f4(BIG)}, lambda x: exp(x * 0.1) ** 5),
    "broadcast": ({"x": f8(200, 300), "b": f8(300)}, lambda x, b: (x + b) * transpose(x + b, (0, 1))),
    "transposed": ({"x": f8(200, 200)}, lambda x: transpose(x, (1, 0)) + sin(x)),
    "comparison": ({"x": f8(BIG)}, lambda x: where(less(x, x * x), x, x * 2.0)),
    "cast": ({"x": f8(BIG)}, lambda x: cast(cast(x, DType.FLOAT32), DType.FLOAT64)),
    "power": ({"x": f8(BIG)}, lambda x: apply("Pow", x * x, sin(x)) + (x * x + 1.0) ** -3),
    "movement": (
        {"x": f8(200, 300)},
        lambda x: concat([pad(x, (1, 0), (0, 1), (0, 0)), pad(x, (0, 1), (1, 0), (0, 0))], 0),
    ),
    "copying reshape": ({"x": f8(200, 300)}, lambda x: reshape(transpose(sin(x), (1, 0)), (BIG,))),
    "sum": (
        {"x": f8(200, 300)},
        lambda x: {"r": reduce_sum(x, (0,)), "c": reduce_sum(x, (1,)), "m": reduce_max(x, (0,))},
    ),
    "sum of a view": ({"x": f8(200, 300)}, lambda x: reduce_sum(transpose(x, (1, 0)), (0,))),
    "product": ({"x": f8(150, 200)}, lambda x: (x @ x.mT) @ x),
    "product of views": (
        {"x": f8(40, 40, 30)},
        lambda x: transpose(x, (2, 0, 1)) @ transpose(x, (2, 1, 0)),
    ),
    "gather": (
        {"x": f8(300, 200), "k": i8(3)},
        lambda x, k: {"g": gather(x, k, 0), "h": gather(transpose(x, (1, 0)), k, 1)},
    ),
    "scatter": ({"x": f8(300, 200), "k": i8(300)}, lambda x, k: scatter_add(k, x, 0, 5)),
    "argmax": ({"x": f8(300, 200)}, lambda x: apply("ArgMax", x, axis=0)),
    "random": (
        {"key": Aval(DType.UINT32, (2,)), "c": i8(BIG)},
        lambda key, c: Expr(key.b, key.b.add("RandomBits", key.id, c.id)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_memory_is_what_the_plan_promises(name: str) -> None:
    f = function(*FAMILIES[name])
    plan = plan_function(f)
    inputs = list(feeds_for(f, 1).values())
    outputs = [np.empty(a.dims, a.dtype.numpy) for a in f.out_avals]
    Instance(plan, inputs, outputs).run()
    tracemalloc.start()
    try:
        instance = Instance(plan, inputs, outputs)
        bound, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        instance.run()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Thunks, views and dictionaries are no arrays: some hundred bytes a row.
    objects = 2 * KIB * len(f) + 4 * KIB
    assert plan.arena_bytes + plan.leaf_bytes <= bound + 64
    assert bound <= plan.arena_bytes + plan.leaf_bytes + objects
    assert peak - bound <= plan.workspace_bytes + 8 * KIB
    assert after - bound <= 4 * KIB


def test_memory_may_be_lent() -> None:
    f = function({"x": f8(64)}, lambda x: reduce_sum(sin(x) * x, (0,)))
    plan = plan_function(f)
    memory = aligned_bytes(plan.arena_bytes)
    assert memory.ctypes.data % 64 == 0
    out = np.empty(())
    instance = Instance(plan, [np.ones(64)], [out], memory=memory)
    memory[:] = 255
    instance.run()
    np.testing.assert_allclose(out, 64 * np.sin(1.0), rtol=1e-14)


def test_a_kernel_that_refuses_names_its_row() -> None:
    f = function({"t": f8(3), "k": i8(2)}, lambda t, k: sin(gather(t, k, 0)))
    instance = Instance(plan_function(f), [np.ones(3), np.array([0, 3])], [np.empty(2)])
    with pytest.raises(NumericError, match="index 3 is outside the 3 rows") as caught:
        instance.run()
    assert (caught.value.code, caught.value.node, caught.value.label) == (
        ErrorCode.INDEX_RANGE,
        2,
        "Gather",
    )


def test_an_instance_is_right_again_after_it_has_failed() -> None:
    f = function({"a": i8(2), "b": i8(2)}, lambda a, b: apply("IntDiv", a, b) + a)
    b, out = np.array([1, 0]), np.empty(2, np.int64)
    instance = Instance(plan_function(f), [np.array([7, 9]), b], [out])
    with pytest.raises(ChainruleError, match="divided by 0"):
        instance.run()
    b[:] = (2, 4)
    instance.run()
    np.testing.assert_array_equal(out, [10, 11])


def test_floating_point_warnings_stay_inside() -> None:
    f = function({"x": f8(3)}, lambda x: apply("Log", x) / x)
    got = evaluate(plan_function(f), [np.array([-1.0, 0.0, np.inf])])
    np.testing.assert_array_equal(got[0], [np.nan, -np.inf, np.nan])


def test_progress_is_told_after_heavy_kernels_alone() -> None:
    told = []
    f = function({"x": f8(300, 300)}, lambda x: reduce_sum(x @ x + sin(x), (0, 1)))
    out = np.empty(())
    Instance(plan_function(f), [np.ones((300, 300))], [out], lambda: told.append(1)).run()
    assert len(told) == 1


def test_values_can_be_looked_at() -> None:
    f = function({"x": f8(2)}, lambda x: sin(x) * 2.0)
    instance = Instance(plan_function(f), [np.ones(2)], [np.empty(2)])
    np.testing.assert_array_equal(instance.value(0), [1.0, 1.0])
    dead = function({"x": f8(2)}, lambda x: {"x": x})
    assert Instance(plan_function(dead), [np.ones(2)], [np.empty(2)]).value(0).shape == (2,)
