"""Closure: every op, batched, to every order, equals a loop of single calls; the work is one node for all."""

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ErrorCode, InvalidGraph, Unsupported
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, apply, reduce_sum, tanh
from chainrule.ir.graph import Debug
from chainrule_server.engine import autodiff
from chainrule_server.engine.batching import vmap
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.plan import plan_function
from support.op_cases import LEAVES, ROWS
from support.op_checks import (
    Array,
    avals_of,
    draw,
    first,
    node,
    reverse,
    rng_for,
    run,
    second,
    third,
    wrt_of,
)
from support.op_row import Row, Sample
from support.random_graphs import random_function

LANES = 3


def samples() -> Iterator[object]:
    for row in ROWS:
        for number, sample in enumerate(row.samples):
            if row.affordable is None or row.affordable(sample):
                yield pytest.param(row, sample, id=f"{row.op}-{number}")


def stacked(row: Row, sample: Sample) -> list[Array]:
    """LANES draws of each input, in front."""
    rng = rng_for(row.op, sample.shapes, "lanes")
    draws = [draw(row, sample, row.dtypes[0], rng) for _ in range(LANES)]
    return [np.stack(parts) for parts in zip(*draws, strict=True)]


def loop(flat: Flat, arrays: Sequence[Array], flags: Sequence[bool]) -> list[Array]:
    results = [
        run(flat, [x[k] if lane else x for x, lane in zip(arrays, flags, strict=True)])
        for k in range(LANES)
    ]
    return [np.stack(parts) for parts in zip(*results, strict=True)]


def same(found: Sequence[Array], expected: Sequence[Array], rtol: float = 1e-12) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        scale = float(np.max(np.abs(b[np.isfinite(b)]), initial=1.0)) if b.size else 1.0
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize(("row", "sample"), tuple(samples()))
def test_lanes_equal_a_loop_whichever_inputs_have_them(row: Row, sample: Sample) -> None:
    every = stacked(row, sample)
    for flags in product((False, True), repeat=len(every)):
        if not any(flags) or (row.op == "RandomBits" and not flags[0]):
            continue
        arrays = [x if lane else x[0] for x, lane in zip(every, flags, strict=True)]
        flat = node(row.op, avals_of([x[0] for x in every]), sample.attrs)
        mapped = vmap(flat, [0 if lane else None for lane in flags], LANES)
        same(run(mapped, arrays), loop(flat, arrays, flags))


def orders() -> Iterator[tuple[str, Callable[[Flat, Sequence[int]], Flat], int, bool]]:
    """Name, how it is derived, how many tangents it takes, and whether a cotangent."""
    yield "vjp", reverse, 0, True
    yield "jvp", first, 1, False
    yield "vjp of jvp", lambda flat, wrt: reverse(first(flat, wrt), wrt), 1, True
    yield "jvp of jvp", second, 2, False
    yield "jvp of vjp", lambda flat, wrt: first(reverse(flat, wrt), wrt), 0, True
    yield "vjp of jvp of jvp", lambda flat, wrt: reverse(second(flat, wrt), wrt), 2, True
    yield "jvp of jvp of jvp", third, 3, False


@pytest.mark.parametrize("name", [name for name, *_ in orders()])
@pytest.mark.parametrize("row", [r for r in ROWS if r.oracle != "none"], ids=lambda r: r.op)
def test_derivatives_of_every_order_over_lanes(row: Row, name: str) -> None:
    _, derive, n_tangents, with_ct = next(o for o in orders() if o[0] == name)
    tried = [s for s in row.samples if all(0 not in shape for shape in s.shapes)]
    for sample in [s for s in tried if row.affordable is None or row.affordable(s)][:3]:
        every = stacked(row, sample)
        wrt, rng = wrt_of(every), rng_for(row.op, name)
        flat = node(row.op, avals_of([x[0] for x in every]), sample.attrs)
        arrays = list(every)
        for _ in range(n_tangents):
            arrays += [rng.standard_normal(every[i].shape) for i in wrt]
        if with_ct:
            shape = flat.function.out_avals[0].dims
            arrays.append(rng.standard_normal((LANES, *shape)))
        derived = derive(flat, wrt)
        if name == "jvp of vjp":
            arrays += [rng.standard_normal(every[i].shape) for i in wrt]
        flags = [True] * len(arrays)
        mapped = vmap(derived, [0] * len(arrays), LANES)
        same(run(mapped, arrays), loop(derived, arrays, flags), max(1e-12, row.third / 1e3))
        # and the derivative of the mapped function, which is the mapped derivative
        outside = derive(vmap(flat, [0] * len(every), LANES), wrt)
        same(run(outside, arrays), loop(derived, arrays, flags), max(1e-11, row.third / 1e2))


def network() -> Flat:
    b = Builder()
    w = Expr(b, b.input("w", Aval(DType.FLOAT64, (4, 3))))
    x = Expr(b, b.input("x", Aval(DType.FLOAT64, (2, 4))))
    h = tanh(x @ w)
    return Flat(b.finish([reduce_sum(h * h, (0, 1)).id], ["loss"]), b.debug())


def kernels(flat: Flat) -> int:
    return len(plan_function(flat.function).order)


def test_the_number_of_kernel_calls_is_that_of_one_example() -> None:
    gradient = autodiff.vjp(network(), (0,), (0,))
    counts = {n: kernels(vmap(gradient, (None, 0, None), n)) for n in (1, 10, 1000)}
    assert set(counts.values()) == {kernels(gradient)}


def test_a_gradient_an_example_equals_the_loop() -> None:
    rng = np.random.default_rng(3)
    w, x = rng.standard_normal((4, 3)), rng.standard_normal((LANES, 2, 4))
    gradient = autodiff.vjp(network(), (0,), (0,))
    arrays = [w, x, np.array(1.0)]
    same(
        run(vmap(gradient, (None, 0, None), LANES), arrays),
        loop(gradient, arrays, [False, True, False]),
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
def test_the_axis_of_lanes_may_stand_anywhere(axis: int) -> None:
    rng = np.random.default_rng(4)
    w, x = rng.standard_normal((4, 3)), rng.standard_normal((LANES, 2, 4))
    (found,) = run(vmap(network(), (None, axis), LANES), [w, np.moveaxis(x, 0, axis)])
    (expected,) = loop(network(), [w, x], [False, True])
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_lanes_of_lanes_equal_a_loop_of_loops() -> None:
    rng = np.random.default_rng(5)
    w, x = rng.standard_normal((2, 4, 3)), rng.standard_normal((LANES, 2, 4))
    twice = vmap(vmap(network(), (None, 0), LANES), (0, None), 2)
    (found,) = run(twice, [w, x])
    expected = [loop(network(), [one, x], [False, True])[0] for one in w]
    np.testing.assert_allclose(found, np.stack(expected), rtol=1e-12)


def test_what_no_lane_differs_in_is_computed_once() -> None:
    mapped = vmap(network(), (None, None), LANES)
    f = mapped.function
    assert all(a.size <= 8 for op, a in zip(f.ops, f.avals, strict=True) if op != "Input")
    assert f.out_avals == (Aval(DType.FLOAT64, (LANES,)),)


def test_lanes_may_be_the_examples_of_a_batch() -> None:
    n = BatchDim(1)
    mapped = vmap(autodiff.vjp(network(), (0,), (0,)), (None, 0, None), n)
    assert mapped.function.out_avals[1] == Aval(DType.FLOAT64, (n, 4, 3))


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_derivatives_of_any_function_over_lanes_equal_a_loop(seed: int) -> None:
    """Forward, reverse and batched say the same of a random function: the lanes of <ct, df t>."""
    f = random_function(random.Random(seed), nodes=8)
    flat, rng = Flat(f, Debug()), np.random.default_rng(seed)
    wrt = [i for i, aval in enumerate(f.in_avals) if aval.dtype is DType.FLOAT64]
    backward, forward = autodiff.vjp(flat, wrt, (0,)), autodiff.jvp(flat, wrt, (0,))
    x = [
        rng.uniform(-1, 1, (LANES, *a.dims))
        if a.dtype is DType.FLOAT64
        else rng.integers(0, 3, (LANES, *a.dims))
        for a in f.in_avals
    ]
    ct = rng.standard_normal((LANES, *f.out_avals[0].dims))
    t = [rng.standard_normal(x[i].shape) for i in wrt]
    lanes = [True] * (len(x) + 1)
    pulled = run(vmap(backward, [0] * len(lanes), LANES), [*x, ct])
    same(pulled, loop(backward, [*x, ct], lanes), 1e-11)
    n_out = len(f.outputs)
    pushed = run(vmap(forward, [0] * (len(x) + len(t)), LANES), [*x, *t])[n_out]
    for k in range(LANES):
        left = float(np.vdot(ct[k], pushed[k]))
        right = sum(float(np.vdot(a[k], b[k])) for a, b in zip(pulled[n_out:], t, strict=True))
        size = 1 + float(np.linalg.norm(ct[k])) * float(np.linalg.norm(pushed[k]))
        assert abs(left - right) <= 1e-10 * size


def bits() -> Flat:
    b = Builder()
    key = Expr(b, b.input("key", Aval(DType.UINT32, (2,))))
    counter = Expr(b, b.input("counter", Aval(DType.INT64, (5,))))
    return Flat(b.finish([apply("RandomBits", key, counter, stream=7).id], ["bits"]), b.debug())


def drawn(flat: Flat, counter: Any = None) -> Array:
    key = np.array([11, 12], np.uint32)
    return run(flat, [key, np.arange(5) if counter is None else counter])[0]


def test_lanes_draw_bits_of_their_own() -> None:
    found = drawn(vmap(bits(), (None, None), 50))
    assert len({row.tobytes() for row in found}) == 50
    np.testing.assert_array_equal(found[:3], drawn(vmap(bits(), (None, None), 3)))
    assert not (found == drawn(bits())).any()


def test_a_lane_is_the_call_with_its_folded_key() -> None:
    """key' = words 0 and 1 of block `lane` under the key, in stream 2^31."""
    found = drawn(vmap(bits(), (None, None), LANES))
    key = np.array([11, 12], np.uint32)
    for lane in range(LANES):
        fold = node(
            "RandomBits",
            [Aval(DType.UINT32, (2,)), Aval(DType.INT64, (2,))],
            {"stream": 2**31},
        )
        (folded,) = run(fold, [key, 4 * lane + np.arange(2)])
        (expected,) = run(bits(), [folded, np.arange(5)])
        np.testing.assert_array_equal(found[lane], expected)


def test_nested_lanes_all_differ() -> None:
    found = drawn(vmap(vmap(bits(), (None, None), 4), (None, None), 6))
    assert found.shape == (6, 4, 5)
    assert len({row.tobytes() for row in found.reshape(24, 5)}) == 24
    inner = drawn(vmap(vmap(vmap(bits(), (None, None), 2), (None, None), 3), (None, None), 2))
    assert len({row.tobytes() for row in inner.reshape(12, 5)}) == 12


def test_an_axis_outside_is_refused() -> None:
    with pytest.raises(InvalidGraph, match="axis 4") as caught:
        vmap(network(), (None, 4), LANES)
    assert caught.value.code is ErrorCode.BAD_AXIS


def test_a_batch_axis_takes_no_batch_of_lanes() -> None:
    b = Builder()
    x = Expr(b, b.input("x", Aval(DType.FLOAT64, (BatchDim(1),))))
    flat = Flat(b.finish([tanh(x).id], ["y"]), b.debug())
    with pytest.raises(Unsupported, match="batch axis already"):
        vmap(flat, (0,), BatchDim(1))


def test_every_op_has_a_batching_rule() -> None:
    assert {name for name, op in OPS.items() if op.batching is None} == set(LEAVES)
