"""The example network as a user writes it, z = W1 x + b1, a = sigmoid(z), y_hat = W2 a + b2."""

from typing import Any

import numpy as np

import chainrule as cr
from chainrule_server.demo.digits import CLASSES, PIXELS

Array = np.ndarray[Any, np.dtype[Any]]

HIDDEN = 128


def network(params: Any, x: Any) -> Any:
    """(batch, 64) -> (batch, 10)."""
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    return a @ params["W2"] + params["b2"]


def cross_entropy(params: Any, x: Any, y: Any) -> Any:
    """Softmax cross-entropy, the mean over the batch; y holds labels."""
    return cr.losses.softmax_cross_entropy(network(params, x), y)


def half_square(params: Any, x: Any, y: Any) -> Any:
    """L = 1/2 (y_hat - y)^2, the mean over the batch; y holds one-hot rows."""
    y_hat = network(params, x)
    return 0.5 * np.mean(np.sum((y_hat - y) ** 2, axis=-1))


def composition(x: Any) -> Any:
    """y = sin((2x + 1)^2), with dy/dx = 4 (2x + 1) cos((2x + 1)^2)."""
    inner = 2 * x + 1
    return np.sin(inner**2)


def first_parameters(seed: int) -> dict[str, Array]:
    """Normal weights of variance 1/fan-in, zero biases."""
    rng = np.random.default_rng(seed)
    return {
        "W1": rng.normal(size=(PIXELS, HIDDEN)) / np.sqrt(PIXELS),
        "b1": np.zeros(HIDDEN),
        "W2": rng.normal(size=(HIDDEN, CLASSES)) / np.sqrt(HIDDEN),
        "b2": np.zeros(CLASSES),
    }
