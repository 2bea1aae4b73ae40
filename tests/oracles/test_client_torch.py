"""PyTorch says the same: the article's network, kinks and ties, library functions, second order."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.network import Array, golden, loss

pytestmark = [pytest.mark.oracle, pytest.mark.xdist_group("torch")]

Pair = tuple[Callable[[Any], Any], Callable[[Any, Any], Any]]

# The kinks lie at zero and at one; the last two elements tie with their neighbours.
KINKED = np.array([[-1.5, 0.0, 1.0, 1.0], [2.0, 2.0, -0.5, 0.0]])

# Ours in NumPy, theirs given torch; each is summed with uneven weights before its gradient.
FUNCTIONS: dict[str, Pair] = {
    "abs": (np.abs, lambda t, x: t.abs(x)),
    "maximum with a tie": (
        lambda x: np.maximum(x, 1.0),
        lambda t, x: t.maximum(x, t.ones_like(x)),
    ),
    "minimum with a tie": (
        lambda x: np.minimum(x, 1.0),
        lambda t, x: t.minimum(x, t.ones_like(x)),
    ),
    "max over an axis with ties": (lambda x: np.max(x, axis=-1), lambda t, x: x.amax(-1)),
    "sqrt of a square plus one": (lambda x: np.sqrt(x**2 + 1), lambda t, x: t.sqrt(x**2 + 1)),
    "cube": (lambda x: x**3, lambda t, x: x**3),
    "tanh": (np.tanh, lambda t, x: t.tanh(x)),
    "log1p of exp": (lambda x: np.log1p(np.exp(x)), lambda t, x: t.log1p(t.exp(x))),
    "relu": (cr.nn.relu, lambda t, x: t.relu(x)),
    "sigmoid": (cr.nn.sigmoid, lambda t, x: t.sigmoid(x)),
    "softmax": (cr.nn.softmax, lambda t, x: t.softmax(x, -1)),
    "log_softmax": (cr.nn.log_softmax, lambda t, x: t.log_softmax(x, -1)),
    "matrix product": (lambda x: x @ x.T, lambda t, x: x @ x.T),
    "variance": (lambda x: np.var(x, axis=-1), lambda t, x: x.var(-1, unbiased=False)),
    "cumulative reuse": (lambda x: (x * x + x) * x, lambda t, x: (x * x + x) * x),
    "slices and joins": (
        lambda x: np.concatenate([x[:, ::2], x[:, 1::2] * 2], axis=1),
        lambda t, x: t.cat([x[:, ::2], x[:, 1::2] * 2], dim=1),
    ),
    "rows by index": (lambda x: x[np.array([1, 1, 0])], lambda t, x: x[[1, 1, 0]]),
}


def weighted(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """sum of w_i f_i with w = 1, 2, 3, ..., so that every cotangent is another one."""

    def total(x: Any) -> Any:
        y = f(x)
        weights = np.arange(1.0, 1.0 + y.size).reshape(y.shape)
        return np.sum(weights * y)

    return total


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_gradient_are_pytorchs(client: cr.Client, torch: Any, name: str) -> None:
    ours, theirs = FUNCTIONS[name]
    value, gradient = client.value_and_grad(weighted(ours), KINKED)
    x = torch.tensor(KINKED, requires_grad=True)
    y = theirs(torch, x)
    weights = torch.arange(1.0, 1.0 + y.numel(), dtype=torch.float64).reshape(y.shape)
    total = (weights * y).sum()
    total.backward()
    np.testing.assert_allclose(value, total.item(), rtol=1e-13)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-12, atol=1e-13)


def test_the_articles_network_has_pytorchs_gradient(client: cr.Client, torch: Any) -> None:
    record = golden()
    value, gradient = client.value_and_grad(
        loss, record["params"], record["x"], record["y"], batch=(1, 2)
    )
    p = {k: torch.tensor(v, requires_grad=True) for k, v in record["params"].items()}
    x, y = torch.tensor(record["x"]), torch.tensor(record["y"])
    a = torch.sigmoid(x @ p["W1"] + p["b1"])
    total = 0.5 * ((a @ p["W2"] + p["b2"] - y) ** 2).sum(-1).mean()
    total.backward()
    np.testing.assert_allclose(value, total.item(), rtol=1e-12)
    for name, tensor in p.items():
        theirs: Array = tensor.grad.numpy()
        np.testing.assert_allclose(gradient[name], theirs, rtol=1e-10, atol=1e-14)


def test_hessian_vector_products_are_pytorchs(client: cr.Client, torch: Any) -> None:
    x = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    v = np.cos(np.arange(6.0)).reshape(2, 3)
    ours = client.hvp(lambda x: np.sum(np.tanh(x @ x.T) ** 2), x, vector=v)
    _, theirs = torch.autograd.functional.vhp(
        lambda x: (torch.tanh(x @ x.T) ** 2).sum(), torch.tensor(x), torch.tensor(v)
    )
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-11)


def test_the_golden_trajectories_are_pytorchs(torch: Any) -> None:
    del torch  # the generator imports it
    generator = importlib.import_module("golden.make_trajectories")
    record = golden()
    x, y, params = generator.beginning()
    for kept, (_, _, optimizer, arguments) in zip(
        record["optimizers"], generator.OPTIMIZERS, strict=True
    ):
        losses = generator.losses(optimizer, arguments, x, y, params)
        # PyTorch sums in another order on another machine; 200 steps carry that along.
        np.testing.assert_allclose(kept["losses"], losses, rtol=1e-9)
