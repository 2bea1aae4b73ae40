"""Loops and branches in traced code, run by the engine, against plain Python loops and complex step."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ErrorCode
from support.traced import line_of, numbers, refusal
from support.traced_engine import answer

W = numbers(3, 3) * 0.5
XS = numbers(5, 3)


def plain_rnn(w: Any, xs: Any) -> Any:
    h, ys = np.zeros(3), []
    for x in xs:
        h = np.tanh(w @ h + x)
        ys.append(h * 2)
    return h, {"y": np.stack(ys)}


def rnn(w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = np.tanh(w @ h + x["x"])
        return h, {"y": h * 2}

    return cr.scan(step, np.zeros(3), {"x": xs})


def loss(net: Any) -> Any:
    def value(w: Any, xs: Any) -> Any:
        h, ys = net(w, xs)
        return np.sum(ys["y"] ** 2) + np.sum(h)

    return value


def test_scan_gives_the_last_carry_and_the_stacked_values() -> None:
    h, ys = answer(rnn, W, XS)
    want, stacked = plain_rnn(W, XS)
    np.testing.assert_allclose(h, want, rtol=1e-14)
    np.testing.assert_allclose(ys["y"], stacked["y"], rtol=1e-14)


def test_scan_differentiates_what_its_body_closes_over() -> None:
    got = answer(lambda w, xs: cr.grad(loss(rnn), (0, 1))(w, xs), W, XS)
    d_w, d_x = numbers(3, 3, seed="d"), numbers(5, 3, seed="d")
    slope = loss(plain_rnn)(W + 1e-30j * d_w, XS + 1e-30j * d_x).imag / 1e-30
    assert np.sum(got[0] * d_w) + np.sum(got[1] * d_x) == pytest.approx(slope, rel=1e-12)


def test_scan_in_reverse_keeps_the_order_of_its_values() -> None:
    def cumulative(xs: Any) -> Any:
        return cr.scan(lambda c, x: (c + x, c + x), np.zeros(3), xs, reverse=True)

    last, ys = answer(cumulative, XS)
    np.testing.assert_allclose(ys, np.cumsum(XS[::-1], axis=0)[::-1])
    np.testing.assert_allclose(last, XS.sum(axis=0))


def test_scan_without_slices_counts_to_its_length() -> None:
    assert answer(lambda x: cr.scan(lambda c, _: (c * x, None), 1.0, length=4)[0], 1.5) == 1.5**4


def test_a_scan_of_no_steps_gives_back_its_carry() -> None:
    h, ys = answer(rnn, W, XS[:0])
    assert not h.any() and ys["y"].shape == (0, 3)


def test_a_python_scalar_takes_the_dtype_that_the_body_makes_of_it() -> None:
    def total(xs: Any) -> Any:
        return cr.scan(lambda c, x: (c + x, c), 0, xs)

    last, before = answer(total, np.ones(3, np.float32))
    assert last.dtype == before.dtype == np.float32
    assert last == 3


def test_scans_nest_and_share_outer_values() -> None:
    def f(a: Any, xs: Any) -> Any:
        def outer(c: Any, x: Any) -> Any:
            inner, _ = cr.scan(lambda d, y: (np.sin(d * a + y * x[0]), None), c, x)
            return inner, None

        return cr.scan(outer, 0.3, xs)[0]

    def plain(a: Any, xs: Any) -> Any:
        c = 0.3
        for x in xs:
            for y in x:
                c = np.sin(c * a + y * x[0])
        return c

    a = np.array(0.7)
    value, slope = answer(lambda a, xs: cr.value_and_grad(f)(a, xs), a, XS)
    assert value == pytest.approx(plain(a, XS), rel=1e-14)
    assert slope == pytest.approx(plain(a + 1e-30j, XS).imag / 1e-30, rel=1e-12)
    third = answer(lambda a, xs: cr.grad(cr.grad(cr.grad(f)))(a, xs), a, XS)
    e = 1e-3

    def second(at: Any) -> Any:
        return (plain(at + e, XS) - 2 * plain(at, XS) + plain(at - e, XS)) / e**2

    assert third == pytest.approx((second(a + e) - second(a - e)) / (2 * e), rel=1e-3)


def test_scan_over_time_keeps_the_batch_split() -> None:
    def f(w: Any, xs: Any) -> Any:
        h = np.zeros((len(xs), 3))
        h, _ = cr.scan(lambda h, x: (np.tanh(h @ w + x), None), h, np.swapaxes(xs, 0, 1))
        return h

    xs = numbers(11, 4, 3)
    want = np.zeros((11, 3))
    for t in range(4):
        want = np.tanh(want @ W + xs[:, t])
    got = answer(f, W, xs, n=11, workers=2, batch=1)
    np.testing.assert_allclose(got, want, rtol=1e-13)


def test_while_loop_runs_until_its_condition_fails() -> None:
    def f(x: Any) -> Any:
        return cr.while_loop(
            lambda c: c["k"] < 5, lambda c: {"p": c["p"] * x, "k": c["k"] + 1}, {"p": 1.0, "k": 0},
            max_iter=100,
        )["p"]  # fmt: skip

    value, slope = answer(lambda x: cr.value_and_grad(f)(x), 2.0)
    assert (value, slope) == (32.0, 80.0)


@pytest.mark.parametrize(("x", "value", "slope"), [(3.0, 27.0, 27.0), (30.0, 30.0, 1.0)])
def test_while_loop_tests_before_the_first_step(x: float, value: float, slope: float) -> None:
    # c <- c * x while c < 10: from x that is x^3 for 3, x itself for 30
    def f(x: Any) -> Any:
        return cr.while_loop(lambda c: c < 10, lambda c: c * x, x, max_iter=9)

    assert answer(lambda x: cr.value_and_grad(f)(x), x) == (value, slope)


def test_while_loop_ends_at_its_bound() -> None:
    def f(x: Any) -> Any:
        return cr.while_loop(lambda c: c > 0, lambda c: c + x, 1.0, max_iter=7)

    assert answer(f, 2.0) == 15.0


@pytest.mark.parametrize("x", [0.7, -0.7])
def test_cond_runs_and_differentiates_one_branch(x: float) -> None:
    def f(x: Any, a: Any) -> Any:
        return cr.cond(x > 0, lambda y: y**3 * a, lambda y: np.sin(y), x)

    a = 2.0
    value, slopes = answer(lambda x, a: cr.value_and_grad(f, (0, 1))(x, a), x, a)
    want = (a * x**3, 3 * a * x**2, x**3) if x > 0 else (np.sin(x), np.cos(x), 0.0)
    assert (value, *slopes) == pytest.approx(want)


def test_a_scalar_of_one_branch_takes_the_dtype_of_the_other() -> None:
    def f(x: Any) -> Any:
        return cr.cond(x > 0, lambda: x, lambda: 0.0)

    got = answer(f, np.float32(-1.0) * np.ones((), np.float32))
    assert got.dtype == np.float32 and got == 0


def test_a_loop_without_a_bound_is_refused_at_the_trace() -> None:
    def f(x: Any) -> Any:
        return cr.while_loop(lambda c: c > 1, lambda c: c / 2, x)

    error = refusal(f, 1.0)
    assert error.code is ErrorCode.TRACE and error.line == line_of(f)
    assert "max_iter" in str(error)


def test_a_carry_that_changes_names_its_leaf() -> None:
    def grows(x: Any) -> Any:
        return cr.scan(lambda c, _: ({"h": np.stack([c["h"], x])}, None), {"h": x}, length=2)

    error = refusal(grows, 1.0)
    assert error.code is ErrorCode.SHAPE_MISMATCH
    assert "carry/h goes in as float64[] and comes out as float64[2]" in str(error)

    def widens(x: Any) -> Any:
        return cr.scan(lambda c, _: ((c[0].astype(np.float64),), None), (x,), length=2)

    error = refusal(widens, np.float32(1.0) * np.ones((), np.float32))
    assert "carry/(0) goes in as float32[] and comes out as float64[]" in str(error)

    def renamed(x: Any) -> Any:
        return cr.scan(lambda c, _: ({"b": c["a"]}, None), {"a": x}, length=2)

    assert "carry/a" in str(refusal(renamed, 1.0))


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: cr.scan(lambda c, y: c, x, length=2), "return (carry, y)"),
        (lambda x: cr.scan(lambda c, y: (c, y), x), "number of steps"),
        (lambda x: cr.scan(lambda c, y: (c, y), x, np.ones(3), length=2), "number of steps"),
        (lambda x: cr.cond(np.stack([x, x]) > 0, lambda: x, lambda: x), "np.all"),
        (lambda x: cr.cond(x > 0, lambda: (x, x), lambda: x), "equal structure"),
        (lambda x: cr.cond(x > 0, lambda: np.stack([x, x]), lambda: x), "equal shapes"),
        (lambda x: cr.while_loop(lambda c: c, lambda c: c, x, max_iter=0), "max_iter=0"),
    ],
)
def test_misuse_is_refused_with_the_cure(f: Any, text: str) -> None:
    assert text in str(refusal(f, 1.0))


def test_a_scan_along_the_batch_is_refused() -> None:
    def f(x: Any) -> Any:
        return cr.scan(lambda c, y: (c + y, c), 0.0, x)[0]

    assert "along the batch" in str(refusal(f, np.ones(6), batch=0))


def test_each_step_draws_other_numbers() -> None:
    def draws(x: Any) -> Any:
        def outer(c: Any, _: Any) -> Any:
            inner = cr.scan(lambda c, _: (c, cr.random.uniform((2,))), c, length=3)[1]
            return c, (inner, cr.random.uniform((2,)))

        looped = cr.while_loop(lambda c: c[0] < 4, step, (0, np.zeros(4)), max_iter=4)[1]
        return cr.scan(outer, x, length=5)[1], cr.random.uniform((2,)), looped

    def step(c: Any) -> Any:
        hot = np.where(np.arange(4) == c[0], 1.0, 0.0)
        return c[0] + 1, c[1] + hot * cr.random.uniform(())

    (inner, outer), once, looped = answer(draws, np.array(0.0))
    assert inner.shape == (5, 3, 2)
    every = np.concatenate([inner.ravel(), outer.ravel(), once, looped])
    assert len(np.unique(every)) == every.size


def test_dropout_in_a_loop_is_the_same_forwards_and_backwards() -> None:
    # y = prod of masks * x, so x_ct is y / x, whatever was dropped
    def f(x: Any) -> Any:
        return cr.scan(lambda c, _: (cr.nn.dropout(0.2, c), None), x, length=3)[0]

    x = np.abs(numbers(40)) + 0.5
    value, slope = answer(lambda x: (f(x), cr.grad(lambda x: np.sum(f(x)))(x)), x)
    assert 0 < np.count_nonzero(value) < 40
    # two calls of f have two streams, each its own mask; each mask is 0 or 1.25 in every step
    assert set(np.round(slope, 9)) == {0.0, round(1.25**3, 9)}
    both = answer(lambda x: cr.value_and_grad(lambda x: np.sum(f(x)))(x), x)
    assert np.sum(both[1] * x) == pytest.approx(both[0])


def test_outside_of_traced_code_the_cure_is_to_trace() -> None:
    with pytest.raises(cr.TraceError, match="inside a function that is traced"):
        cr.scan(lambda c, y: (c, y), 0.0, np.ones(3))
