"""Derivatives of all orders and directions over a real channel, against closed forms and loops."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

X = np.array([0.3, -1.2, 0.9])
W = np.arange(12.0).reshape(4, 3) / 9
RNG = np.random.default_rng(0)


def layer(x: Any, w: Any) -> Any:
    return np.tanh(w @ x)


def complex_step(f: Callable[[Any], Any], x: Any) -> Any:
    """Columns of the Jacobian from one imaginary step each: no difference, so no digits are lost."""
    steps = 1e-30j * np.eye(len(x))
    return np.stack([np.imag(f(x + step)) / 1e-30 for step in steps], axis=-1)


def test_a_jacobian_is_that_of_the_complex_step(client: cr.Client) -> None:
    def f(x: Any) -> Any:
        return np.exp(np.sin(W @ x)) * np.sqrt(1 + (W @ x) ** 2)

    np.testing.assert_allclose(client.jacobian(f, X), complex_step(f, X), rtol=1e-13)


def test_a_jacobian_has_the_value_s_structure_outside_and_the_argument_s_inside(
    client: cr.Client,
) -> None:
    def f(p: Any, k: Any) -> Any:
        return {"y": np.tanh(p["w"] @ p["x"]), "n": k, "s": (np.sum(p["x"] ** 2),)}

    found = client.jacobian(f, {"w": W, "x": X, "none": None}, 3)
    slope = 1 - np.tanh(W @ X) ** 2
    np.testing.assert_allclose(found["y"]["x"], slope[:, None] * W, rtol=1e-14)
    want = slope[:, None, None] * np.eye(4)[:, :, None] * X
    np.testing.assert_allclose(found["y"]["w"], want, rtol=1e-14)
    np.testing.assert_array_equal(found["s"][0]["w"], np.zeros((4, 3)))
    np.testing.assert_allclose(found["s"][0]["x"], 2 * X)
    assert found["n"] is None
    assert found["y"]["none"] is None


def test_several_arguments_in_wrt_give_tuples(client: cr.Client) -> None:
    by_x, by_w = client.jacobian(layer, X, W, wrt=(0, 1))
    np.testing.assert_array_equal(by_x, client.jacobian(layer, X, W))
    assert by_w.shape == (4, 4, 3)


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_a_hessian_is_that_of_the_closed_form(client: cr.Client) -> None:
    a, b = 0.3, -0.2
    want = [[1200 * a * a - 400 * b + 2, -400 * a], [-400 * a, 200]]
    np.testing.assert_allclose(client.hessian(rosenbrock, np.array([a, b])), want, rtol=1e-13)


def test_a_hessian_has_the_argument_s_structure_twice(client: cr.Client) -> None:
    def f(p: Any, t: Any) -> Any:
        return np.sum(p["a"] ** 2 * p["b"]) * t

    found = client.hessian(f, {"a": X, "b": 2.0}, 3.0, wrt=(0, 1))
    np.testing.assert_allclose(found[0]["a"][0]["a"], 12 * np.eye(3))
    np.testing.assert_allclose(found[0]["a"][0]["b"], 6 * X)
    np.testing.assert_allclose(found[0]["b"][1], np.sum(X**2))
    np.testing.assert_array_equal(found[1][1], 0.0)


def test_many_cotangents_tangents_and_vectors(client: cr.Client) -> None:
    jacobian, hessian = client.jacobian(layer, X, W), client.hessian(rosenbrock, X)
    cts, ts = RNG.normal(size=(5, 4)), RNG.normal(size=(6, 3))
    value, (x_ct, _) = client.vjp(layer, (X, W), cts, many=True)
    np.testing.assert_allclose(value, np.tanh(W @ X))
    np.testing.assert_allclose(x_ct, cts @ jacobian, rtol=1e-13)
    _, y_t = client.jvp(lambda x: layer(x, W), X, ts, many=True)
    np.testing.assert_allclose(y_t, ts @ jacobian.T, rtol=1e-13)
    found = client.hvp(rosenbrock, X, vector=ts, many=True)
    np.testing.assert_allclose(found, ts @ hessian, rtol=1e-12)


def network(p: Any, x: Any, y: Any) -> Any:
    a = np.tanh(x @ p["w"] + p["b"])
    return 0.5 * np.mean(np.sum((a @ p["v"] - y) ** 2, axis=-1))


NETWORK = {"w": RNG.normal(size=(3, 5)), "b": RNG.normal(size=5), "v": RNG.normal(size=(5, 2))}
ROWS, LABELS = RNG.normal(size=(300, 3)), RNG.normal(size=(300, 2))


def test_a_gradient_an_example_equals_the_loop(client: cr.Client) -> None:
    found = client.per_example_grad(network, NETWORK, ROWS, LABELS, batch=(1, 2))
    for i in (0, 17, 299):
        one = client.grad(network, NETWORK, ROWS[i : i + 1], LABELS[i : i + 1], batch=(1, 2))
        for name in NETWORK:
            np.testing.assert_allclose(found[name][i], one[name], rtol=1e-12, atol=1e-14)
    whole = client.grad(network, NETWORK, ROWS, LABELS)
    np.testing.assert_allclose(found["w"].mean(0), whole["w"], rtol=1e-11)


def test_the_batch_itself_keeps_an_axis_of_one(client: cr.Client) -> None:
    found = client.per_example_grad(lambda x: np.mean(np.sin(x)), ROWS, batch=0)
    assert found.shape == (300, 1, 3)
    np.testing.assert_allclose(found[:, 0], np.cos(ROWS) / 3, rtol=1e-14)


def test_a_loss_that_is_not_the_first_output_has_second_derivatives(client: cr.Client) -> None:
    graph = cr.trace(lambda x: (np.sin(x), np.sum(x**3)), X)
    second = cr.Graph(graph.graph, {}, (), graph.in_prefixes, ("out/(1)",))
    np.testing.assert_allclose(client.hessian(second, X), np.diag(6 * X))
    np.testing.assert_allclose(client.hvp(second, X, vector=X), 6 * X * X)


def no_floats(x: Any) -> Any:
    return np.argmax(x)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda c: c.hessian(layer, X, W), cr.InvalidGraph, "a gradient is that of one"),
        (lambda c: c.jacobian(no_floats, X), cr.GraphError, "gives no array of floats; convert"),
        (lambda c: c.jacobian(layer, X, W, wrt=2), cr.GraphError, "argument 2 of 2"),
        (
            lambda c: c.per_example_grad(rosenbrock, X),
            cr.GraphError,
            r"no argument is a batch; name",
        ),
        (
            lambda c: c.jacobian(np.sin, X, batch=0),
            cr.ShapeMismatch,
            "that have it; leave batch= out",
        ),
        (
            lambda c: c.vjp(np.sin, X, X, many=True),
            cr.ShapeMismatch,
            r"shape \(3,\), \(3, 3\) is needed with many=True",
        ),
        (
            lambda c: c.jvp(np.sin, X, np.zeros((0, 3)), many=True),
            cr.ShapeMismatch,
            "tangents: args/0 has none; give one of the tangents at least",
        ),
        (lambda c: c.jacobian(layer, X, W, max_flops=10), cr.LimitExceeded, "the call allows 10"),
        (lambda c: c.jacobian(layer, X, W, max_flops=-1), cr.GraphError, "max_flops is -1"),
    ],
)
def test_a_wrong_call_says_what_and_how_to_mend_it(
    client: cr.Client, call: Any, kind: type[cr.ChainruleError], text: str
) -> None:
    with pytest.raises(kind, match=text) as caught:
        call(client)
    assert caught.value.cure
