"""vmap and Jacobians in traced code, run by the engine, against loops over the lanes and closed forms."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tracing import trace
from support.traced import compare, numbers, refusal
from support.traced_engine import answer, program_of

W = numbers(3, 4)
X = numbers(4)


def net(x: Any) -> Any:
    return np.tanh(W @ x)


def slope() -> Any:
    return (1 - net(X) ** 2)[:, None] * W


def lanes_of(f: Any, *stacked: Any) -> Any:
    """f of each lane by itself, stacked."""
    return np.stack([answer(f, *(x[i] for x in stacked)) for i in range(len(stacked[0]))])


def test_vmap_of_a_function_that_closes_over_a_value() -> None:
    xs = numbers(5, 4)
    got = answer(lambda xs, a: cr.vmap(lambda x: net(x) * a)(xs), xs, 2.0)
    np.testing.assert_allclose(got, 2 * np.tanh(xs @ W.T), rtol=1e-13)


def test_axes_are_ints_none_and_trees() -> None:
    tree, c = {"a": numbers(4, 5), "b": numbers(4)}, numbers(3, 5)

    def f(tree: Any, k: float, c: Any) -> Any:
        return {"u": tree["a"] * tree["b"] * k, "v": c}

    mapped = cr.vmap(f, in_axes=({"a": 1, "b": None}, None, 1), out_axes={"u": 0, "v": -1})
    got = answer(lambda t, c: mapped(t, 2.0, c), tree, c)
    compare(got, {"u": tree["a"].T * tree["b"] * 2.0, "v": c}, 1e-14, 0)


def test_vmap_nests() -> None:
    a, b = numbers(3), numbers(5)
    outer = cr.vmap(cr.vmap(lambda x, y: x * y, in_axes=(None, 0)), in_axes=(0, None))
    np.testing.assert_allclose(answer(outer, a, b), np.outer(a, b))


def test_the_rows_of_a_program_do_not_depend_on_the_lanes() -> None:
    def rows(n: int) -> int:
        f = cr.vmap(cr.grad(lambda x: np.sum(net(x))))
        return sum(len(s.function) for s in program_of(trace(f, numbers(n, 4))).stages)

    assert rows(2) == rows(200)


def test_lanes_may_be_the_batch_and_are_split_over_workers() -> None:
    def f(w: Any, x: Any) -> Any:
        return cr.vmap(cr.grad(lambda w, x: np.sum(np.tanh(w @ x) ** 2)), in_axes=(None, 0))(w, x)

    x = numbers(11, 4)
    got = answer(f, W, x, n=11, workers=2, batch=1)
    z = np.tanh(x @ W.T)
    np.testing.assert_allclose(got, (2 * z * (1 - z**2))[:, :, None] * x[:, None], rtol=1e-12)


def ends_early(x: Any) -> Any:
    """Lanes take other numbers of steps, other branches and other iterations."""
    grown = cr.while_loop(lambda c: c < 10, lambda c: c * x, x, max_iter=50)
    chosen = cr.cond(x > 2.5, lambda: x**3, lambda: np.sin(x))
    last, ys = cr.scan(lambda c, k: (np.sin(c * x) + k, c), x, np.arange(3.0))
    point = cr.fixed_point(lambda z: np.cos(z * x * 0.2), 0.5, tol=1e-13)
    return grown + chosen * last + np.sum(ys) * point


@pytest.mark.parametrize("order", [0, 1, 2])
def test_loops_branches_and_fixed_points_over_lanes(order: int) -> None:
    f = ends_early
    for _ in range(order):
        f = cr.grad(f)
    xs = np.array([1.5, 2.0, 3.0, 20.0])
    one_by_one = lanes_of(f, xs)
    np.testing.assert_allclose(answer(cr.vmap(f), xs), one_by_one, rtol=1e-12)
    if order:
        # the derivative of the mapped function, not the mapped derivative
        def total(xs: Any) -> Any:
            return np.sum(cr.vmap(ends_early)(xs))

        got = answer(lambda xs: cr.grad(total)(xs), xs)
        np.testing.assert_allclose(got, lanes_of(cr.grad(ends_early), xs), rtol=1e-12)


def test_checkpoint_and_a_rule_of_its_own_over_lanes() -> None:
    rule = cr.custom_vjp(lambda x, w: np.sum(x * w), lambda x, w, ct: (3 * ct * w, ct * x))
    f = cr.checkpoint(lambda x, w: np.sin(rule(x, w)))
    xs, w = numbers(5, 4), numbers(4, seed="w")
    both = cr.vmap(cr.grad(f, (0, 1)), in_axes=(0, None))
    got = answer(lambda xs, w: both(xs, w), xs, w)
    c = np.cos(xs @ w)[:, None]
    np.testing.assert_allclose(got[0], 3 * c * w, rtol=1e-12)
    np.testing.assert_allclose(got[1], c * xs, rtol=1e-12)
    shared = answer(lambda xs, w: cr.grad(lambda w: np.sum(cr.vmap(f, (0, None))(xs, w)))(w), xs, w)
    np.testing.assert_allclose(shared, np.sum(c * xs, axis=0), rtol=1e-12)


def test_a_root_over_lanes() -> None:
    a = np.array([2.0, 9.0, 0.3])
    f = cr.vmap(cr.value_and_grad(lambda a: cr.root(lambda x: x * x - a, 1.0)))
    value, derivative = answer(lambda a: f(a), a)
    np.testing.assert_allclose(value, np.sqrt(a), rtol=1e-12)
    np.testing.assert_allclose(derivative, 0.5 / np.sqrt(a), rtol=1e-9)


def test_random_numbers_differ_between_lanes() -> None:
    def draw(x: Any) -> Any:
        return cr.scan(lambda c, _: (c, cr.random.uniform((2,)) + x), 0.0, length=3)[1]

    drawn = answer(lambda x: cr.vmap(draw)(x), np.zeros(4))
    assert len(np.unique(drawn)) == drawn.size == 24


@pytest.mark.parametrize("jacobian", [cr.jacfwd, cr.jacrev])
def test_a_jacobian_has_the_axes_of_the_value_then_of_the_argument(jacobian: Any) -> None:
    np.testing.assert_allclose(answer(lambda x: jacobian(net)(x), X), slope(), rtol=1e-13)

    def f(p: Any, q: Any) -> Any:
        return {"o": p["a"] * p["b"][0] * q, "s": np.sum(p["b"]) * q}

    a, b, q = X, W, np.array(2.0)
    got = answer(lambda p, q: jacobian(f, argnums=(0, 1))(p, q), {"a": a, "b": b}, q)
    first = np.zeros((4, 3, 4))
    first[:, 0] = np.diag(a * q)
    want = {
        "o": ({"a": np.diag(b[0] * q), "b": first}, a * b[0]),
        "s": ({"a": np.zeros(4), "b": np.full((3, 4), 2.0)}, np.sum(b)),
    }
    compare(got, want, 1e-13, 0)


@pytest.mark.parametrize("jacobian", [cr.jacfwd, cr.jacrev])
def test_a_jacobian_with_aux(jacobian: Any) -> None:
    f = jacobian(lambda x: (net(x), {"twice": 2 * x}), has_aux=True)
    found, aux = answer(lambda x: f(x), X)
    np.testing.assert_allclose(found, slope(), rtol=1e-13)
    np.testing.assert_allclose(aux["twice"], 2 * X)


def test_hessian_of_a_closed_form() -> None:
    # sum_i exp(a . x):  a a^T exp(a . x)
    a = numbers(4, seed="a")
    got = answer(lambda x: cr.hessian(lambda x: np.exp(a @ x))(x), X)
    np.testing.assert_allclose(got, np.outer(a, a) * np.exp(a @ X), rtol=1e-12)


def test_a_laplacian_by_the_trace_of_a_mapped_hessian() -> None:
    # u = sin(a . x): Laplacian -|a|^2 u, at all points at once
    a, points = numbers(3, seed="a"), numbers(6, 3)

    def laplacian(x: Any) -> Any:
        return np.trace(cr.hessian(lambda x: np.sin(a @ x))(x))

    got = answer(lambda ps: cr.vmap(laplacian)(ps), points)
    np.testing.assert_allclose(got, -(a @ a) * np.sin(points @ a), rtol=1e-12)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: cr.vmap(lambda a, b: a)(x, x[:2]), "equal length"),
        (lambda x: cr.vmap(lambda a: a, in_axes=None)(x), "no axis"),
        (lambda x: cr.vmap(lambda a: a, in_axes=1)(x), "axis 1 of args/0"),
        (lambda x: cr.vmap(lambda a: a, in_axes=(0, 0))(x), "2 entries for 1 arguments"),
        (lambda x: cr.vmap(lambda a: a, in_axes=({"a": 0},))(x), "no prefix"),
        (lambda x: cr.vmap(lambda a: a, out_axes=None)(x), "out_axes=None"),
        (lambda x: cr.jacfwd(lambda a: a)(np.arange(3)), "no derivative"),
        (lambda x: cr.hessian(lambda a: a, argnums=1)(x), "argnums 1 of 1"),
    ],
)
def test_misuse_is_refused(f: Any, text: str) -> None:
    assert text in str(refusal(f, X))
