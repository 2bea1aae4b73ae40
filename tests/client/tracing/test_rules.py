"""checkpoint and custom_vjp in traced code, run by the engine."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import numbers, refusal
from support.traced_engine import answer, peak_of

X = numbers(4)


def test_checkpoint_keeps_the_bits_and_lowers_the_peak() -> None:
    def layer(x: Any) -> Any:
        return np.sin(np.exp(np.sin(np.exp(np.sin(x)))))

    def net(wrap: Any) -> Any:
        def loss(x: Any) -> Any:
            for _ in range(6):
                x = wrap(layer)(x)
            return np.sum(x)

        return lambda x: cr.grad(loss)(x)

    x = numbers(20_000)
    plain, kept = net(lambda f: f), net(cr.checkpoint)
    assert answer(plain, x).tobytes() == answer(kept, x).tobytes()
    assert peak_of(kept, x) < 0.6 * peak_of(plain, x)


def test_checkpoint_takes_trees_and_closures() -> None:
    f = cr.checkpoint(lambda p, n, scale=1.0: {"y": np.sin(p["a"]) * n * scale})

    def both(x: Any, c: Any) -> Any:
        g = cr.checkpoint(lambda y: y * c)
        return cr.grad(lambda x, c: np.sum(f({"a": g(x)}, 2, scale=c)["y"]), (0, 1))(x, c)

    got = answer(both, X, 0.7)
    # the closure of g is the argument of `both`, so only scale sees the derivative in c
    np.testing.assert_allclose(got[0], np.cos(X * 0.7) * 0.7 * 2 * 0.7, rtol=1e-12)
    assert got[1] == pytest.approx(np.sum(np.sin(X * 0.7) * 2), rel=1e-12)


def test_the_rule_is_used_backwards_and_its_transpose_forwards() -> None:
    @cr.custom_vjp(rule=lambda x, ct: 3 * ct * x)
    def odd(x: Any) -> Any:
        return np.exp(x)

    def f(x: Any) -> Any:
        value, tangent = cr.jvp(odd, (x,), (np.full(4, 0.5),))
        return value, tangent, cr.grad(lambda x: np.sum(odd(x)))(x)

    value, tangent, slope = answer(f, X)
    np.testing.assert_allclose(value, np.exp(X), rtol=1e-14)
    np.testing.assert_allclose(tangent, 1.5 * X, rtol=1e-14)
    np.testing.assert_allclose(slope, 3 * X, rtol=1e-14)


def test_a_rule_is_differentiated_again() -> None:
    # f = x^2 with its own rule 2 x ct: the second derivative is that of the rule
    square = cr.custom_vjp(lambda x: x * x, lambda x, ct: 2 * x * ct)
    assert answer(lambda x: cr.grad(cr.grad(square))(x), 3.0) == 2.0


def test_several_arguments_and_results_with_integers() -> None:
    f = cr.custom_vjp(
        lambda p, n: {"y": p["a"] * p["b"], "n": n},
        lambda p, n, ct: ({"a": ct["y"], "b": 5 * ct["y"]}, None),
    )
    p = {"a": np.array(2.0), "b": np.array(4.0)}
    got = answer(lambda p, n: cr.grad(lambda p: f(p, n)["y"])(p), p, np.array(3))
    assert (got["a"], got["b"]) == (1.0, 5.0)
    assert answer(lambda p, n: f(p, n), p, np.array(3))["n"] == 3


def test_no_derivative_is_none_and_captured_arrays_are_no_closures() -> None:
    big = numbers(300)
    f = cr.custom_vjp(lambda x, y: np.sum(x * big) + y, lambda x, y, ct: (2 * ct * big, None))
    got = answer(lambda x, y: cr.grad(f, (0, 1))(x, y), numbers(300, seed="x"), 1.0)
    np.testing.assert_allclose(got[0], 2 * big)
    assert got[1] == 0


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: cr.custom_vjp(lambda y: y * x, lambda y, ct: ct)(x), "closes over"),
        (lambda x: cr.custom_vjp(lambda y, z: y, lambda y, z, ct: ct)(x, x), "2 arguments"),
        (lambda x: cr.custom_vjp(lambda y: y, lambda y, ct: np.stack([ct, ct]))(x), "shape"),
        (lambda x: cr.custom_vjp(lambda y: y, lambda y, ct: {"a": ct})(x), "structure"),
        (lambda x: cr.custom_vjp(lambda y: y), "without a rule"),
    ],
)
def test_misuse_is_refused(f: Any, text: str) -> None:
    assert text in str(refusal(f, 0.5))
