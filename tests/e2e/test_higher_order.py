"""Derivatives of derivatives by the service, one request each, against complex step and hand-made ones."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.ir import trees
from support.higher_order import PROBLEMS, arrays

OURS = SimpleNamespace(
    grad=cr.grad,
    jvp=cr.jvp,
    hessian=cr.hessian,
    vmap=cr.vmap,
    fixed_point=lambda f, x0: cr.fixed_point(f, x0, max_iter=500, tol=1e-13),
)


def maml(w: Any, x: Any, y: Any, xt: Any, yt: Any) -> Any:
    total = 0.0
    for k in range(len(x)):
        a, b = w["a"], w["b"]
        for _ in range(2):
            h = np.tanh(x[k] @ a)
            r = 2 * (h @ b - y[k]) / len(y[k])
            z = np.outer(r, b) * (1 - h**2)
            a, b = a - 0.1 * x[k].T @ z, b - 0.1 * h.T @ r
        total = total + np.mean((np.tanh(xt[k] @ a) @ b - yt[k]) ** 2)
    return total / len(x)


def deq(p: Any, x: Any, y: Any) -> Any:
    z = np.zeros((5, 4))
    for _ in range(500):
        z = np.tanh(z @ p["w"] + x @ p["u"] + p["b"])
    return np.mean((z @ p["out"] - y) ** 2)


def hypergradient(penalty: Any, x: Any, y: Any, xv: Any, yv: Any) -> Any:
    w = np.linalg.solve(x.T @ x / len(y) + np.diag(np.exp(penalty)), x.T @ y / len(y))
    return np.mean((xv @ w - yv) ** 2)


def pinn(p: Any, xs: Any) -> Any:
    # u = v . tanh(w^T x + b):  Laplacian = v . (|w_j|^2 tanh''(z_j)),  tanh'' = -2 t (1 - t^2)
    t = np.tanh(xs @ p["w"] + p["b"])
    laplacian = (-2 * t * (1 - t**2) * np.sum(p["w"] ** 2, axis=0)) @ p["v"]
    return np.mean((laplacian - np.sin(xs[:, 0]) * xs[:, 1]) ** 2)


PLAIN: dict[str, Callable[..., Any]] = {
    "maml": maml,
    "deq": deq,
    "hypergradient": hypergradient,
    "pinn": pinn,
}


@pytest.mark.parametrize("name", PLAIN)
def test_value_and_gradient_by_one_request(client: cr.Client, name: str) -> None:
    problem, args = PROBLEMS[name]
    value, gradient = client.value_and_grad(problem(np, OURS), *args)
    names, leaves = trees.flatten(args[0], "x")
    directions = [arrays(*x.shape, seed=7) for x in leaves]
    shifted = [x + 1e-30j * d for x, d in zip(leaves, directions, strict=True)]
    expected = PLAIN[name](trees.unflatten(names, shifted, "x"), *args[1:])
    assert value == pytest.approx(expected.real, rel=1e-10)
    found = trees.flatten(gradient, "x")[1]
    slope = sum(float(np.sum(g * d)) for g, d in zip(found, directions, strict=True))
    assert slope == pytest.approx(expected.imag / 1e-30, rel=1e-8)


def gradient_of_energy(x: Any, w: Any) -> Any:
    """By hand: of sum(sin(w x) exp(-x_i^2)) + prod(cos(x))."""
    e, s, c = np.exp(-(x[:2] ** 2)), np.sin(w @ x), np.cos(w @ x)
    first = (c * e) @ w
    first = first + np.concatenate([-2 * x[:2] * e * s, [0.0]])
    return first - np.sin(x) * np.array([np.prod(np.delete(np.cos(x), i)) for i in range(len(x))])


def test_the_hessian_vector_product(client: cr.Client) -> None:
    problem, (x, w, v) = PROBLEMS["hvp"]
    expected = np.sum(gradient_of_energy(x + 1e-30j * v, w).imag / 1e-30 * np.cos(v))
    assert client.value(problem(np, OURS), x, w, v) == pytest.approx(expected, rel=1e-10)


def test_third_derivatives(client: cr.Client) -> None:
    problem, (x, w) = PROBLEMS["third"]

    def laplacian(x: Any) -> Any:
        steps = np.eye(3) * 1e-30j
        return sum(gradient_of_energy(x + s, w)[i].imag / 1e-30 for i, s in enumerate(steps))

    value, gradient = client.value_and_grad(problem(np, OURS), x, w)
    assert value == pytest.approx(laplacian(x), rel=1e-10)
    e = 1e-5
    numeric = [(laplacian(x + d) - laplacian(x - d)) / (2 * e) for d in np.eye(3) * e]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-8)


def test_what_does_not_converge_names_the_node_and_the_line(client: cr.Client) -> None:
    def f(a: Any) -> Any:
        return cr.fixed_point(lambda x: np.cos(a * x), 0.5, max_iter=3, tol=1e-12)

    with pytest.raises(cr.NotConverged, match="FixedPoint") as caught:
        client.grad(f, 0.8)
    first = f.__code__.co_firstlineno
    assert caught.value.line == f"test_higher_order.py:{first + 1}"
