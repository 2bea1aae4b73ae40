"""The article's network, its data and its closed-form gradient, for tests."""

import json
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr

Array = np.ndarray[Any, np.dtype[Any]]
Params = dict[str, Array]

GOLDEN = Path(__file__).resolve().parent.parent / "golden" / "trajectories.json"


def loss(params: Any, x: Any, y: Any) -> Any:
    """L = 1/2 (y_hat - y)^2 of y_hat = W2 sigma(W1 x + b1) + b2, the mean over the batch."""
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    y_hat = a @ params["W2"] + params["b2"]
    return 0.5 * np.mean(np.sum((y_hat - y) ** 2, axis=-1))


def predict(params: Any, x: Any) -> Any:
    """y_hat."""
    a = cr.nn.sigmoid(x @ params["W1"] + params["b1"])
    return a @ params["W2"] + params["b2"]


def plain_loss(params: Params, x: Array, y: Array) -> Any:
    """The same in NumPy, complex numbers included."""
    a = 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))
    return 0.5 * np.mean(np.sum((a @ params["W2"] + params["b2"] - y) ** 2, axis=-1))


def closed_form(params: Params, x: Array, y: Array) -> Params:
    """The gradient by hand: error, then back through W2, the sigmoid and W1."""
    a = 1 / (1 + np.exp(-(x @ params["W1"] + params["b1"])))
    error = (a @ params["W2"] + params["b2"] - y) / len(x)
    z_ct = error @ params["W2"].T * a * (1 - a)
    return {
        "W1": x.T @ z_ct,
        "b1": z_ct.sum(axis=0),
        "W2": a.T @ error,
        "b2": error.sum(axis=0),
    }


def golden() -> dict[str, Any]:
    """Data, first parameters and PyTorch's losses; see tests/golden/make_trajectories.py."""
    record: dict[str, Any] = json.loads(GOLDEN.read_text())
    record["x"], record["y"] = np.array(record["x"]), np.array(record["y"])
    record["params"] = {name: np.array(value) for name, value in record["params"].items()}
    return record


def batch_of(record: dict[str, Any], k: int) -> tuple[Array, Array]:
    """The rows of step k."""
    n = record["batch"]
    rows = np.arange(n * k, n * (k + 1)) % len(record["x"])
    return record["x"][rows], record["y"][rows]
