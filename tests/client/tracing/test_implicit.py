"""Fixed points and roots in traced code against closed forms of the implicit function theorem."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import NotConverged
from support.traced import numbers, refusal
from support.traced_engine import answer, peak_of


def cosine_point(a: Any, **options: Any) -> Any:
    return cr.fixed_point(lambda x: np.cos(a * x), 0.5, **{"tol": 1e-14, **options})


def closed_form(a: float) -> tuple[float, float, float]:
    """x = cos(a x) with its first and second derivative."""
    x = 0.5
    for _ in range(200):
        x -= (x - np.cos(a * x)) / (1 + a * np.sin(a * x))
    s, c = np.sin(a * x), np.cos(a * x)
    first = -s * x / (1 + a * s)
    u = x + a * first
    return x, first, (-c * u * x - s * first - first * (s + a * c * u)) / (1 + a * s)


def cosine_root(a: Any) -> Any:
    return cr.root(lambda x: x - np.cos(a * x), 0.5)


def slow_root(a: Any) -> Any:
    def g(x: Any) -> Any:
        return x - np.cos(a * x)

    return cr.root(g, 0.5, tol=1e-14, step=lambda x: x - 0.5 * g(x))


@pytest.mark.parametrize("solve", [cosine_point, cosine_root, slow_root])
def test_value_gradient_and_second_derivative_are_those_of_the_equation(solve: Any) -> None:
    def all_three(a: Any) -> Any:
        return solve(a), cr.grad(solve)(a), cr.grad(cr.grad(solve))(a)

    assert answer(all_three, 0.8) == pytest.approx(closed_form(0.8), rel=1e-9)


def test_forward_mode_goes_through_the_solution_too() -> None:
    _, first, second = closed_form(0.8)

    def tangent(f: Any) -> Any:
        return lambda a: cr.jvp(f, (a,), (1.0,))[1]

    got = answer(lambda a: (tangent(cosine_point)(a), tangent(tangent(cosine_root))(a)), 0.8)
    assert got == pytest.approx((first, second), rel=1e-9)


def test_a_deep_equilibrium_layer_has_the_gradient_of_its_equation() -> None:
    # z = tanh(W z + U x):  z_ct (I - J)^-1 d, with J = diag(1 - z^2) W
    w, u, x, ct = numbers(4, 4) * 0.3, numbers(4, 3), numbers(3), numbers(4)

    def loss(p: Any, x: Any) -> Any:
        z = cr.fixed_point(lambda z: np.tanh(p["w"] @ z + p["u"] @ x), np.zeros(4), tol=1e-13)
        return np.sum(z * ct)

    got = answer(lambda p, x: cr.grad(loss)(p, x), {"w": w, "u": u}, x)
    z = np.zeros(4)
    for _ in range(500):
        z = np.tanh(w @ z + u @ x)
    d = np.diag(1 - z**2)
    back = np.linalg.solve((np.eye(4) - d @ w).T, ct) @ d
    np.testing.assert_allclose(got["w"], np.outer(back, z), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got["u"], np.outer(back, x), rtol=1e-9, atol=1e-12)


def test_a_root_of_several_unknowns_in_a_tree() -> None:
    # u^2 + v = b0, u v = b1 at (2, 1): J = [[2u, 1], [v, u]], d(u, v) = J^-1 db
    def solve(b: Any) -> Any:
        start = {"u": np.array(1.5), "v": np.array(1.2)}
        return cr.root(lambda t: [t["u"] ** 2 + t["v"] - b[0], t["u"] * t["v"] - b[1]], start)

    b = np.array([5.0, 2.0])
    solution = answer(solve, b)
    assert (solution["u"], solution["v"]) == pytest.approx((2.0, 1.0), rel=1e-12)
    got = answer(lambda b: cr.grad(lambda b: solve(b)["u"])(b), b)
    np.testing.assert_allclose(got, np.linalg.inv([[4.0, 1.0], [1.0, 2.0]])[0], rtol=1e-9)


def test_the_peak_of_a_gradient_does_not_depend_on_the_iterations() -> None:
    def peak(n: int) -> int:
        return peak_of(lambda a: cr.grad(lambda a: cosine_point(a, max_iter=n))(a), 0.8)

    assert peak(10) == peak(10_000)


def test_a_hypergradient_goes_through_ridge_regression() -> None:
    # w(l) = argmin |X w - y|^2 + l |w|^2, solved by gradient steps; d/dl of the validation loss
    x, y, xv, yv = numbers(8, 3), numbers(8), numbers(5, 3), numbers(5)

    def outer(penalty: Any) -> Any:
        def inner(w: Any) -> Any:
            return np.sum((x @ w - y) ** 2) + penalty * np.sum(w**2)

        w = cr.fixed_point(
            lambda w: w - 0.01 * cr.grad(inner)(w), np.zeros(3), tol=1e-13, max_iter=500
        )
        return np.sum((xv @ w - yv) ** 2)

    def closed(penalty: Any) -> Any:
        w = np.linalg.solve(x.T @ x + penalty * np.eye(3), x.T @ y)
        return np.sum((xv @ w - yv) ** 2)

    got = answer(lambda p: cr.grad(outer)(p), 0.5)
    assert got == pytest.approx(closed(0.5 + 1e-30j).imag / 1e-30, rel=1e-9)


def test_what_does_not_converge_names_node_and_cure() -> None:
    with pytest.raises(NotConverged, match=r"node \d+ \(FixedPoint\).*allow more iterations"):
        answer(lambda a: cosine_point(a, max_iter=3), 0.8)
    with pytest.raises(NotConverged, match="FixedPoint"):
        answer(lambda a: cr.grad(lambda a: cosine_point(a, adjoint_max_iter=1))(a), 0.8)


def test_examples_of_a_batch_converge_alone() -> None:
    def f(a: Any) -> Any:
        return cr.fixed_point(
            lambda x: np.cos(a * x), np.full(a.shape, 0.5), tol=1e-12, per_example=True
        )

    a = np.linspace(0.2, 1.1, 8)
    together = answer(f, a, n=8, workers=2, batch=0)
    alone = [answer(f, a[i : i + 1], batch=0)[0] for i in range(8)]
    assert together.tobytes() == np.array(alone).tobytes()


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda a: cr.fixed_point(lambda x: x * a, a, max_iter=0), "max_iter=0"),
        (lambda a: cr.fixed_point(lambda x: x * a, a, tol=-1.0), "tol=-1.0"),
        (lambda a: cr.fixed_point(lambda x: np.stack([x, x]), a), "x0 goes in as float64[]"),
        (lambda a: cr.root(lambda x: np.stack([x, a]), a), "2 numbers for 1 unknowns"),
    ],
)
def test_misuse_is_refused(f: Any, text: str) -> None:
    assert text in str(refusal(f, 0.5))
