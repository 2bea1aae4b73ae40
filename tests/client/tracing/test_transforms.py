"""Derivatives inside traced code: structure rows on bodies, closures lifted, nested to any order."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ErrorCode
from chainrule.ir import checker
from chainrule.tracing import trace
from support.evaluator import run
from support.traced import compare, numbers, refusal

X = numbers(3, seed="x")
A = numbers(3, seed="a")
W = numbers(3, 3)


def assert_result(f: Any, args: Any, want: Any, tolerance: float = 1e-8) -> Any:
    graph = trace(f, *args)
    checker.check(graph.graph)
    compare(run(graph, *args), want, tolerance, tolerance)
    return graph


def test_grad_of_a_closure() -> None:
    def f(x: Any, a: Any) -> Any:
        return cr.grad(lambda y: np.sum(np.sin(y * a)))(x)

    graph = assert_result(f, (X, A), A * np.cos(X * A))
    body, main = graph.graph.functions
    assert body.input_names == ("args/0", "closure/0")
    assert "Vjp" in main.ops


def test_gradient_has_the_structure_of_its_argument() -> None:
    def loss(params: Any, x: Any) -> Any:
        return np.sum((params["w"] @ x + params["b"][0]) ** 2)

    params = {"w": W, "b": [A]}
    r = 2 * (W @ X + A)
    assert_result(lambda p, x: cr.grad(loss)(p, x), (params, X), {"w": np.outer(r, X), "b": [r]})
    both = cr.value_and_grad(loss, argnums=(0, 1))
    want = (np.sum((r / 2) ** 2), ({"w": np.outer(r, X), "b": [r]}, W.T @ r))
    assert_result(lambda p, x: both(p, x), (params, X), want)


def test_value_and_grad_with_aux() -> None:
    def f(x: Any) -> Any:
        return np.sum(x**2), {"x": x, "n": len(x)}

    want = ((np.sum(X**2), {"x": X, "n": np.int64(3)}), 2 * X)
    assert_result(lambda x: cr.value_and_grad(f, has_aux=True)(x), (X,), want)
    assert_result(lambda x: cr.grad(f, has_aux=True)(x)[0], (X,), 2 * X)


def test_vjp_and_jvp_of_a_function_of_two_arguments() -> None:
    def f(x: Any, a: Any) -> Any:
        return {"p": x * a, "s": np.sin(x)}

    def back(x: Any, a: Any) -> Any:
        value, pull = cr.vjp(f, x, a)
        return value, pull({"p": a, "s": x})

    value = {"p": X * A, "s": np.sin(X)}
    assert_result(back, (X, A), (value, (A * A + np.cos(X) * X, X * A)))

    def forth(x: Any, a: Any) -> Any:
        return cr.jvp(f, (x, a), (a, x))

    assert_result(forth, (X, A), (value, {"p": A * A + X * X, "s": np.cos(X) * A}))


def test_linearize_pushes_many_tangents() -> None:
    def f(x: Any, a: Any) -> Any:
        value, push = cr.linearize(np.sin, x)
        return value, push(a), push(2 * a)

    c = np.cos(X)
    assert_result(f, (X, A), (np.sin(X), c * A, 2 * c * A))


def test_hvp_is_the_hessian_times_the_vector() -> None:
    def f(x: Any, w: Any) -> Any:
        return np.sum(np.sin(x) * (w @ x))

    def product(x: Any, w: Any, v: Any) -> Any:
        return cr.hvp(f, x, w, vector=v)

    s, c = np.sin(X), np.cos(X)
    hessian = np.diag(-s * (W @ X)) + np.diag(c) @ W + W.T @ np.diag(c)
    assert_result(product, (X, W, A), hessian @ A, 1e-6)


def test_two_levels_with_closures_over_both() -> None:
    def f(x: Any, a: Any) -> Any:
        def outer(z: Any) -> Any:
            def inner(y: Any) -> Any:
                return np.sum(np.sin(y * a) * x * z)  # a, x from f; z from outer

            return np.sum(cr.grad(inner)(z * x) * a)

        return cr.grad(outer)(x)

    # inner' = a cos(a y) x z at y = z x, so outer = sum a^2 x z cos(a x z)
    def closed(z: Any) -> Any:
        u = A * X * z
        return A**2 * X * np.cos(u) - A**2 * X * z * np.sin(u) * A * X

    assert_result(f, (X, A), closed(X), 1e-6)


def test_a_meta_gradient_goes_through_an_inner_step() -> None:
    def loss(w: Any, t: Any) -> Any:
        return np.sum((w - t) ** 2)

    def meta(w: Any, t: Any, rate: Any) -> Any:
        def after(w: Any) -> Any:
            return loss(w - rate * cr.grad(loss)(w, t), 2 * t)

        return cr.grad(after)(w)

    rate = 0.1
    w2 = X - rate * 2 * (X - A)
    assert_result(meta, (X, A, rate), 2 * (w2 - 2 * A) * (1 - 2 * rate), 1e-6)


def test_captured_arrays_enter_bodies_through_the_outermost_function() -> None:
    big = numbers(20, 20)

    def f(x: Any) -> Any:
        return cr.grad(lambda y: np.sum(np.tanh(y @ big)))(x)

    x = numbers(20)
    graph = assert_result(f, (x,), big @ (1 - np.tanh(x @ big) ** 2))
    assert len(graph.captures) == 1
    assert graph.graph.functions[0].input_names == ("args/0", "closure/0")


def test_derivatives_serve_every_batch_size() -> None:
    def f(w: Any, x: Any) -> Any:
        def loss(w: Any) -> Any:
            return np.sum(np.tanh(x @ w)) / len(x) + np.sum(np.arange(len(x))[:, None] * w)

        return cr.grad(loss)(w)

    graph = trace(f, A, numbers(6, 3), batch=1)
    for n in (1, 4):
        x = numbers(n, 3)
        want = x.T @ (1 - np.tanh(x @ A) ** 2) / n + n * (n - 1) / 2
        np.testing.assert_allclose(run(graph, A, x), want, rtol=1e-7)


def test_static_leaves_have_no_derivative() -> None:
    def f(x: Any) -> Any:
        return cr.grad(lambda p: np.sum(p["x"] ** 2) if p["kind"] == "a" else 0)(
            {"x": x, "kind": "a"}
        )

    assert_result(lambda x: f(x)["x"], (X,), 2 * X)


def test_stop_gradient_marks_its_value() -> None:
    def f(x: Any) -> Any:
        return cr.stop_gradient({"a": x, "b": 3})["a"] * x

    graph = assert_result(f, (X,), X * X)
    assert "StopGradient" in graph.graph.main.ops
    assert cr.stop_gradient(X) is X


def test_asarray_outside_is_numpys() -> None:
    assert isinstance(cr.asarray([1, 2]), np.ndarray)


@pytest.mark.parametrize(
    ("f", "cure"),
    [
        (lambda x: cr.grad(lambda y: y * 2)(x), "one float scalar"),
        (lambda x: cr.grad(lambda y: np.sum(y > 0))(x), "one float scalar"),
        (lambda x: cr.grad(np.sum)(np.arange(3)), "astype(np.float64)"),
        (lambda x: cr.grad(np.sum, argnums=2)(x), "count arguments from 0"),
        (lambda x: cr.jvp(np.sin, (x,), (x[:1],)), "equal shapes"),
        (lambda x: cr.jvp(np.sin, (x,), ()), "one tangent a primal"),
        (lambda x: cr.vjp(np.sin, x)[1]((x, x)), "structure"),
        (lambda x: cr.grad(lambda y: None)(x), "return an array"),
    ],
)
def test_misuse_is_refused_at_the_line(f: Any, cure: str) -> None:
    error = refusal(f, X)
    assert cure in str(error)
    assert error.line is not None and error.line.startswith("test_transforms.py:")


def test_integers_have_no_derivative() -> None:
    error = refusal(lambda x: cr.grad(lambda i: np.sum(i * 1.0))(np.arange(3)), X)
    assert error.code is ErrorCode.NOT_DIFFERENTIABLE


def test_outside_of_a_trace_the_server_is_named() -> None:
    with pytest.raises(cr.TraceError, match=r"client\.grad"):
        cr.grad(np.sum)(X)
