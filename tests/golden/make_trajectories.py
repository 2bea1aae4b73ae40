"""Makes trajectories.json: what PyTorch's optimizers do to the example network in 200 steps.

    python -m pip install torch==2.13.0 && python tests/golden/make_trajectories.py

The file holds the data, the first parameters and the loss before each step, in float64 and so that
they read back bit for bit; a test then needs no PyTorch. Step k takes rows 16 k to 16 k + 15 of the
data, modulo its length.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

Arrays = dict[str, np.ndarray[Any, Any]]
TARGET = Path(__file__).resolve().parent / "trajectories.json"
STEPS, ROWS, BATCH, HIDDEN = 200, 64, 16, 8
# Our name and arguments, PyTorch's class and arguments.
OPTIMIZERS: tuple[tuple[str, dict[str, Any], Any, dict[str, Any]], ...] = (
    ("sgd", {"learning_rate": 0.1}, torch.optim.SGD, {"lr": 0.1}),
    (
        "momentum",
        {"learning_rate": 0.05, "momentum": 0.9},
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.9},
    ),
    (
        "nesterov",
        {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
        torch.optim.SGD,
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    ("adam", {"learning_rate": 0.01}, torch.optim.Adam, {"lr": 0.01}),
    (
        "adamw",
        {"learning_rate": 0.01, "weight_decay": 0.1},
        torch.optim.AdamW,
        {"lr": 0.01, "weight_decay": 0.1},
    ),
)


def beginning() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Arrays]:
    """Data and first parameters, from a fixed seed."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(ROWS, 3))
    y = np.stack([np.sin(x[:, 0] + x[:, 1]), x[:, 1] * x[:, 2]], axis=-1)
    params = {
        "W1": rng.normal(size=(3, HIDDEN)),
        "b1": rng.normal(size=HIDDEN) * 0.1,
        "W2": rng.normal(size=(HIDDEN, 2)) * 0.5,
        "b2": np.zeros(2),
    }
    return x, y, params


def losses(
    optimizer: Any,
    arguments: dict[str, Any],
    x: np.ndarray[Any, Any],
    y: np.ndarray[Any, Any],
    params: Arrays,
) -> list[float]:
    """The loss before each of the steps."""
    p = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    update = optimizer(p.values(), **arguments)
    found = []
    for k in range(STEPS):
        rows = torch.arange(BATCH * k, BATCH * (k + 1)) % ROWS
        bx, by = torch.tensor(x)[rows], torch.tensor(y)[rows]
        a = torch.sigmoid(bx @ p["W1"] + p["b1"])
        loss = 0.5 * ((a @ p["W2"] + p["b2"] - by) ** 2).sum(-1).mean()
        update.zero_grad()
        loss.backward()
        update.step()
        found.append(loss.item())
    return found


def main() -> int:
    """Writes the file."""
    x, y, params = beginning()
    record = {
        "made_with": f"torch {torch.__version__.split('+')[0]}",
        "batch": BATCH,
        "x": x.tolist(),
        "y": y.tolist(),
        "params": {name: value.tolist() for name, value in params.items()},
        "optimizers": [
            {"name": name, "arguments": ours, "losses": losses(theirs, arguments, x, y, params)}
            for name, ours, theirs, arguments in OPTIMIZERS
        ],
    }
    TARGET.write_text(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
