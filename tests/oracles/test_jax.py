"""JAX says the same: forward and reverse mode, their products, and derivatives of derivatives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("jax")]

X = np.linspace(-0.9, 1.1, 12).reshape(3, 4)
T = np.sin(np.arange(12.0)).reshape(3, 4)

# Written once, for NumPy and for jax.numpy: `n` is the one or the other.
FUNCTIONS: dict[str, Callable[[Any, Any], Any]] = {
    "composition": lambda n, x: n.sin((2 * x + 1) ** 2),
    "normalised rows": lambda n, x: (
        (x - x.mean(axis=1, keepdims=True)) / (x.std(axis=1, keepdims=True) + 0.1)
    ),
    "log sum exp": lambda n, x: n.log(n.sum(n.exp(x), axis=0)),
    "bilinear": lambda n, x: n.einsum("ij,kj->ik", x, n.tanh(x)),
    "power of a base": lambda n, x: (1.5 + x) ** (0.5 * x),
    "where": lambda n, x: n.where(x > 0.1, x**2, n.exp(x)),
    "clip": lambda n, x: n.clip(x, -0.5, 0.5) * x,
    "outer product": lambda n, x: x[:, None, :] * n.log1p(x**2)[None, :, :],
    "arctan2": lambda n, x: n.arctan2(x, 1.0 + x**2),
    "moved axes": lambda n, x: n.transpose(n.reshape(x, (2, 2, 3)), (2, 0, 1)) * 3.0,
    "padded": lambda n, x: n.pad(x, ((1, 0), (0, 2))) ** 2,
    "stacked": lambda n, x: n.stack([x, n.cos(x)], axis=1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_jvp_and_vjp_are_jaxs(client: cr.Client, jax: Any, name: str) -> None:
    f = FUNCTIONS[name]
    value, tangent = client.jvp(lambda x: f(np, x), (X,), (T,))
    theirs, their_tangent = jax.jvp(lambda x: f(jax.numpy, x), (X,), (T,))
    np.testing.assert_allclose(value, theirs, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(tangent, their_tangent, rtol=1e-11, atol=1e-13)

    cotangent = np.cos(np.arange(value.size)).reshape(value.shape)
    _, (ct,) = client.vjp(lambda x: f(np, x), (X,), cotangent)
    _, pull = jax.vjp(lambda x: f(jax.numpy, x), X)
    np.testing.assert_allclose(ct, pull(jax.numpy.asarray(cotangent))[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hvp_is_jaxs(client: cr.Client, jax: Any, name: str) -> None:
    f = FUNCTIONS[name]
    ours = client.hvp(lambda x: np.sum(f(np, x) ** 2), X, vector=T)
    gradient = jax.grad(lambda x: (f(jax.numpy, x) ** 2).sum())
    theirs = jax.jvp(gradient, (X,), (T,))[1]
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-11)


def test_the_third_derivative_is_jaxs(client: cr.Client, jax: Any) -> None:
    def nested(library: Any, n: Any, x: Any) -> Any:
        first = library.grad(lambda x: n.sin((2 * x + 1) ** 2))
        return library.grad(library.grad(first))(x)

    ours = client.value(lambda x: nested(cr, np, x), np.float64(0.3))
    theirs = nested(jax, jax.numpy, 0.3)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
