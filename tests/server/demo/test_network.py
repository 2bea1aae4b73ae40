"""The demo's functions, as plain NumPy and in their derivative."""

import numpy as np

import chainrule as cr
from chainrule_server.demo.network import (
    composition,
    cross_entropy,
    first_parameters,
    half_square,
)


def test_the_losses_are_what_they_are_called() -> None:
    rng = np.random.default_rng(0)
    params = {k: v.astype(np.float64) for k, v in first_parameters(0).items()}
    x, y = rng.uniform(size=(5, 64)), rng.integers(0, 10, size=5)
    a = 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))
    logits = a @ params["W2"] + params["b2"]
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(cross_entropy(params, x, y), -log_p[np.arange(5), y].mean())
    one_hot = np.eye(10)[y]
    expected = 0.5 * ((logits - one_hot) ** 2).sum(-1).mean()
    np.testing.assert_allclose(half_square(params, x, one_hot), expected)


def test_the_composition_has_the_derivative_of_the_article() -> None:
    with cr.connect("local", workers=1) as client:
        found = client.grad(composition, 0.5)
    np.testing.assert_allclose(found, 4 * 2 * np.cos(4.0), rtol=1e-14)
