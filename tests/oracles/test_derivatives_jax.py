"""Jacobians, Hessians, gradients an example and leases against JAX, in JAX's structure."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import golden, loss

pytestmark = pytest.mark.oracle

RECORD = golden()
PARAMS, X, Y = RECORD["params"], RECORD["x"][:6], RECORD["y"][:6]


def same(jax: Any, ours: Any, theirs: Any, rtol: float = 1e-10) -> None:
    leaves, structure = jax.tree_util.tree_flatten(theirs)
    mine, own = jax.tree_util.tree_flatten(ours)
    assert structure == own
    for a, b in zip(mine, leaves, strict=True):
        np.testing.assert_allclose(a, np.asarray(b), rtol=rtol, atol=1e-12)


def network(n: Any) -> Callable[..., Any]:
    def f(p: Any, x: Any) -> Any:
        a = n.tanh(x @ p["W1"] + p["b1"])
        return {"y": a @ p["W2"] + p["b2"], "s": (n.sum(n.exp(a)),)}

    return f


def squared(jax: Any) -> Callable[..., Any]:
    def theirs(p: Any, x: Any, y: Any) -> Any:
        a = jax.nn.sigmoid(x @ p["W1"] + p["b1"])
        return 0.5 * jax.numpy.mean(jax.numpy.sum((a @ p["W2"] + p["b2"] - y) ** 2, axis=-1))

    return theirs


@pytest.mark.parametrize("wrt", [0, 1, (0, 1)])
def test_a_jacobian_either_way(client: cr.Client, jax: Any, wrt: Any) -> None:
    ours = client.jacobian(network(np), PARAMS, X, wrt=wrt)
    same(jax, ours, jax.jacrev(network(jax.numpy), argnums=wrt)(PARAMS, X))


def test_a_hessian_of_a_network(client: cr.Client, jax: Any) -> None:
    ours = client.hessian(loss, PARAMS, X, Y, wrt=(0, 1))
    theirs = jax.hessian(squared(jax), argnums=(0, 1))(PARAMS, X, Y)
    same(jax, ours, theirs, rtol=1e-9)


def test_a_gradient_an_example(client: cr.Client, jax: Any) -> None:
    ours = client.per_example_grad(loss, PARAMS, X, Y, batch=(1, 2))

    def one(p: Any, x: Any, y: Any) -> Any:
        return squared(jax)(p, x[None], y[None])

    theirs = jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(PARAMS, X, Y)
    same(jax, ours, theirs, rtol=1e-12)


def test_many_cotangents_through_a_loop(client: cr.Client, jax: Any) -> None:
    def f(n: Any, scan: Any) -> Callable[..., Any]:
        return lambda w, h: scan(lambda c, _: (n.tanh(c @ w), n.sum(c)), h, n.zeros(5))

    w, h = PARAMS["W2"] @ PARAMS["W2"].T / 10, X[0][: len(PARAMS["W2"])]
    h = np.resize(h, len(w))
    cts = (np.random.default_rng(0).normal(size=(7, len(w))), np.ones((7, 5)))
    ours = client.vjp(f(np, cr.scan), (w, h), cts, many=True)
    value, pull = jax.vjp(f(jax.numpy, jax.lax.scan), w, h)
    same(jax, ours, (value, jax.vmap(pull)(cts)))


def test_a_lease_is_jax_s_linearize(client: cr.Client, jax: Any) -> None:
    tangents = ({k: np.cos(v) for k, v in PARAMS.items()}, np.sin(X))
    value, push = jax.linearize(network(jax.numpy), PARAMS, X)
    with client.linearize(network(np), PARAMS, X) as lease:
        same(jax, lease.value, value)
        same(jax, lease.jvp(*tangents), push(*tangents))
