"""Reverse and forward derivatives: against each other, differences, complex steps and closed forms."""

import random
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.ir.avals import BatchDim, DType
from chainrule.ir.expr import (
    Expr,
    apply,
    cast,
    exp,
    expand,
    gather,
    reduce_sum,
    sin,
    tanh,
)
from chainrule.ir.graph import Debug, Function
from chainrule_server.engine.autodiff import jvp, unbroadcast, vjp
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Flat
from support import naive
from support.engine_run import Array, run
from support.random_graphs import random_function
from support.written import N, f8, feeds_for, function, i8

seeds = st.integers(0, 10**9)


def values(flat: Flat, n: int, *arrays: Array) -> list[Array]:
    """The outputs of a flat function, computed by the oracle."""
    found = naive.rows(flat.function, arrays, n)
    return [found[row] for row in flat.function.outputs]


def floats(f: Function) -> list[int]:
    return [i for i, aval in enumerate(f.in_avals) if aval.dtype.is_float]


def draw(shapes: list[tuple[int, ...]], seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def dot(xs: list[Array], ys: list[Array]) -> float:
    return float(sum(np.sum(x * y) for x, y in zip(xs, ys, strict=True)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seeds, st.booleans())
def test_reverse_and_forward_are_adjoint(seed: int, batched: bool) -> None:
    f = random_function(random.Random(seed), batched=batched)
    n, wrt, outs = 4, floats(f), range(len(f.outputs))
    inputs = list(feeds_for(f, n, seed).values())
    cts = draw([a.concrete(n).dims for a in f.out_avals], seed + 1)
    ts = draw([f.avals[i].concrete(n).dims for i in wrt], seed + 2)
    flat = Flat(f, Debug())
    back = values(vjp(flat, wrt, outs), n, *inputs, *cts)
    ahead = values(jvp(flat, wrt, outs), n, *inputs, *ts)
    for want, x, y in zip(values(flat, n, *inputs), back, ahead, strict=False):
        assert x.tobytes() == want.tobytes() == y.tobytes()
    x_ct, y_t = back[len(outs) :], ahead[len(outs) :]
    size = np.sqrt(dot(cts, cts) * dot(y_t, y_t)) + 1.0
    assert abs(dot(cts, y_t) - dot(x_ct, ts)) <= 1e-12 * size


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seeds)
def test_forward_equals_central_differences(seed: int) -> None:
    f = random_function(random.Random(seed), kinks=False, nodes=8)
    inputs = list(feeds_for(f, 1, seed).values())
    wrt, flat = floats(f), Flat(f, Debug())
    ts = draw([f.avals[i].dims for i in wrt], seed)
    y_t = values(jvp(flat, wrt, (0,)), 1, *inputs, *ts)[-1]

    def at(h: float) -> Array:
        moved = list(inputs)
        for i, t in zip(wrt, ts, strict=True):
            moved[i] = inputs[i] + h * t
        return values(flat, 1, *moved)[0]

    h = 1e-3
    slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    np.testing.assert_allclose(
        y_t, slope, rtol=1e-5, atol=1e-5 * (1 + np.abs(slope).max(initial=0))
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(seeds)
def test_the_second_derivative_is_symmetric(seed: int) -> None:
    f = random_function(random.Random(seed), kinks=False, scalar=True, nodes=7)
    inputs = list(feeds_for(f, 1, seed).values())
    wrt, flat = floats(f), Flat(f, Debug())
    one, shapes = np.array(1.0), [f.avals[i].dims for i in wrt]
    u, v = draw(shapes, seed), draw(shapes, seed + 1)
    gradient = vjp(flat, wrt, (0,))
    grads = range(len(f.outputs), len(f.outputs) + len(wrt))
    forward = jvp(gradient, wrt, grads)
    hv = values(forward, 1, *inputs, one, *v)[-len(wrt) :]
    hu = values(forward, 1, *inputs, one, *u)[-len(wrt) :]
    reverse = vjp(gradient, wrt, grads)
    back = values(reverse, 1, *inputs, one, *v)[-len(wrt) :]
    size = np.sqrt(dot(hv, hv) + dot(hu, hu)) * np.sqrt(dot(u, u) + dot(v, v)) + 1.0
    assert abs(dot(u, hv) - dot(v, hu)) <= 1e-11 * size
    for a, b in zip(hv, back, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * size)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("mode", ["reverse", "forward", "mixed"])
def test_nested_derivatives_of_tanh_are_those_of_mpmath(order: int, mode: str) -> None:
    x = np.array(0.7)
    flat = Flat(function({"x": f8()}, tanh), Debug())
    for k in range(order):
        derive = {"reverse": vjp, "forward": jvp, "mixed": (vjp, jvp)[k % 2]}[mode]
        flat = derive(flat, (0,), (len(flat.function.outputs) - 1,))
    ones = [np.array(1.0)] * order
    got = run(compile_flat(flat), 1, dict(zip(flat.function.input_names, [x, *ones], strict=True)))
    want = float(mpmath.diff(mpmath.tanh, 0.7, order))
    np.testing.assert_allclose(got[flat.function.output_names[-1]], want, rtol=1e-12)


def gradient(f: Function, *arrays: Array, n: int = 1) -> list[Array]:
    """Cotangents of the float inputs for a cotangent one of the first output."""
    ct = np.ones(f.out_avals[0].concrete(n).dims)
    return values(vjp(Flat(f, Debug()), floats(f), (0,)), n, *arrays, ct)[len(f.outputs) :]


def test_the_gradient_of_a_smooth_function_equals_the_complex_step() -> None:
    def body(x: Expr) -> Expr:
        return reduce_sum(exp(sin(x)) * tanh(x @ x) / (x * x + 2.0), (0, 1))

    f = function({"x": f8(3, 3)}, body)
    x = np.linspace(-1.0, 1.0, 9).reshape(3, 3)
    (found,) = gradient(f, x)
    for at in np.ndindex(3, 3):
        moved = x.astype(complex)
        moved[at] += 1e-200j
        (step,) = [naive.rows(f, [moved])[row].imag / 1e-200 for row in f.outputs]
        np.testing.assert_allclose(found[at], step, rtol=1e-13)


def test_a_row_that_leaves_twice_gets_both_cotangents() -> None:
    f = function({"x": f8(2)}, lambda x: (lambda y: {"a": y, "b": y})(sin(x)))
    x = np.array([0.3, 0.4])
    out = values(vjp(Flat(f, Debug()), (0,), (0, 1)), 1, x, np.full(2, 2.0), np.full(2, 5.0))
    np.testing.assert_allclose(out[2], 7.0 * np.cos(x), rtol=1e-15)


def test_an_input_as_output_and_an_unused_input() -> None:
    f = function({"x": f8(2), "u": f8(3, N)}, lambda x, u: {"same": x})
    out = values(
        vjp(Flat(f, Debug()), (0, 1), (0,)), 4, np.ones(2), np.ones((3, 4)), np.arange(2.0)
    )
    np.testing.assert_array_equal(out[1], [0.0, 1.0])
    assert out[2].shape == (3, 4)
    assert not out[2].any()
    ahead = values(
        jvp(Flat(f, Debug()), (1,), (0,)), 4, np.ones(2), np.ones((3, 4)), np.ones((3, 4))
    )
    np.testing.assert_array_equal(ahead[1], [0.0, 0.0])


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x * expand(x, (2, 3)),
        lambda x: sin(x) + x.like(2.0),
        lambda x: reduce_sum(x, (0,)) * x,
        lambda x: expand(reduce_sum(x, (0,), keepdims=True), (4, 3)),
        lambda x: apply("Reshape", x, shape=(3, 1)) * x,
    ],
)  # fmt: skip
def test_cotangents_are_summed_over_what_was_broadcast(body: Callable[[Expr], Expr]) -> None:
    f = function({"x": f8(3)}, body)
    x = np.array([0.2, -0.5, 1.5])
    (found,) = gradient(f, x)
    for i in range(3):
        moved = x.astype(complex)
        moved[i] += 1e-200j
        step = naive.rows(f, [moved])[f.outputs[0]].imag.sum() / 1e-200
        np.testing.assert_allclose(found[i], step, rtol=1e-14)


def test_the_batch_is_summed_over_like_any_stretched_axis() -> None:
    f = function({"x": f8(BatchDim(2), 3), "b": f8(3), "s": f8(1, 1)}, lambda x, b, s: (x + b) * s)
    x, n = np.arange(24.0).reshape(8, 3), 4
    x_ct, b_ct, s_ct = gradient(f, x, np.ones(3), np.full((1, 1), 2.0), n=n)
    assert (x_ct.shape, b_ct.tolist(), s_ct.tolist()) == ((8, 3), [16.0] * 3, [[(x + 1).sum()]])
    assert vjp(Flat(f, Debug()), (0,), (0,)).function.out_avals[1] == f8(BatchDim(2), 3)


def test_unbroadcast_also_widens_what_a_rule_left_small() -> None:
    f = function({"ct": f8()}, lambda ct: unbroadcast(ct, f8(2, N)))
    assert f.out_avals == (f8(2, N),)


def test_integers_carry_no_derivative_and_stop_none_beside_them() -> None:
    f = function(
        {"t": f8(4), "k": i8(3)},
        lambda t, k: reduce_sum(gather(t, k, 0) * cast(k, DType.FLOAT64), (0,)),
    )
    (found,) = gradient(f, np.ones(4), np.array([1, 3, 1]))
    np.testing.assert_array_equal(found, [0.0, 2.0, 0.0, 3.0])


def test_a_float_that_passed_through_an_integer_has_derivative_zero() -> None:
    f = function({"x": f8(2)}, lambda x: cast(cast(x, DType.INT64), DType.FLOAT64))
    (found,) = gradient(f, np.array([1.5, 2.5]))
    np.testing.assert_array_equal(found, [0.0, 0.0])


def test_names_of_the_user_may_look_like_ours() -> None:
    g = function({"x": f8(), "ct/0": f8()}, lambda x, c: {"y": sin(x) * c, "ct/x": c, "0": x})
    for derive in (vjp, jvp):
        twice = derive(derive(Flat(g, Debug()), (0,), (0,)), (0,), (3,))
        assert len(set(twice.function.output_names)) == 5


def test_cost_of_a_gradient_is_a_small_multiple_of_the_forward() -> None:
    def chain(x: Expr) -> Expr:
        for _ in range(40):
            x = sin(x) * 0.9 + x
        return reduce_sum(x, (0,))

    def network(x: Expr) -> Expr:
        h = x
        for _ in range(8):
            h = tanh(h @ x)
        return reduce_sum(h, (0, 1))

    for body, aval, most in ((chain, f8(1000), 5.0), (network, f8(64, 64), 3.1)):
        f = function({"x": aval}, body)
        forward = compile_flat(Flat(f, Debug())).layout().flops
        both = compile_flat(vjp(Flat(f, Debug()), (0,), (0,))).layout().flops
        assert both <= most * forward
