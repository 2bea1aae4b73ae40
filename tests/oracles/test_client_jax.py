"""The client's calls give what JAX's give, in JAX's structure: aux, several arguments, trees."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import golden, loss

pytestmark = pytest.mark.oracle

RECORD = golden()
PARAMS, X, Y = RECORD["params"], RECORD["x"], RECORD["y"]


def same(jax: Any, ours: Any, theirs: Any) -> None:
    leaves, structure = jax.tree_util.tree_flatten(theirs)
    mine, own = jax.tree_util.tree_flatten(ours)
    assert structure == own
    for a, b in zip(mine, leaves, strict=True):
        np.testing.assert_allclose(a, np.asarray(b), rtol=1e-10, atol=1e-13)


def test_value_and_gradient_of_several_arguments(client: cr.Client, jax: Any) -> None:
    def theirs(p: Any, x: Any, y: Any) -> Any:
        a = jax.nn.sigmoid(x @ p["W1"] + p["b1"])
        return 0.5 * jax.numpy.mean(jax.numpy.sum((a @ p["W2"] + p["b2"] - y) ** 2, axis=-1))

    for numbers in (0, 1, (0,), (0, 2)):
        ours = client.value_and_grad(loss, PARAMS, X, Y, wrt=numbers)
        same(jax, ours, jax.value_and_grad(theirs, argnums=numbers)(PARAMS, X, Y))


def test_aux_has_jax_s_structure(client: cr.Client, jax: Any) -> None:
    def f(n: Any) -> Any:
        return lambda x: (n.sum(n.sin(x)), {"cos": n.cos(x), "both": (x, 2 * x)})

    ours, theirs = f(np), f(jax.numpy)
    same(
        jax,
        client.value_and_grad(ours, X, has_aux=True),
        jax.value_and_grad(theirs, has_aux=True)(X),
    )
    same(jax, client.grad(ours, X, has_aux=True), jax.grad(theirs, has_aux=True)(X))


def test_vjp_and_jvp_take_and_give_jax_s_trees(client: cr.Client, jax: Any) -> None:
    def f(n: Any) -> Any:
        return lambda p, x: {"y": n.tanh(x @ p["W1"]), "s": n.sum(x)}

    p = {"W1": PARAMS["W1"]}
    ct = {"y": np.ones((len(X), 8)), "s": np.float64(2.0)}
    value, pull = jax.vjp(f(jax.numpy), p, X)
    same(jax, client.vjp(f(np), (p, X), ct), (value, pull(ct)))
    tangents = ({"W1": np.ones_like(p["W1"])}, np.cos(X))
    same(
        jax,
        client.jvp(f(np), (p, X), tangents),
        jax.jvp(f(jax.numpy), (p, X), tangents),
    )
