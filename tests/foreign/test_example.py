"""The Node example trains the example network: the same losses as the same descent in NumPy."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from support.network import closed_form, plain_loss
from support.serving import serving

pytestmark = pytest.mark.foreign

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "node" / "descend.js"
STEPS, RATE = 100, 0.5


def descent_in_numpy() -> list[float]:
    """The losses at steps 0, 50, 100, from the gradient by hand."""
    n = 64
    x = (2 * np.arange(n) / (n - 1) - 1)[:, None]
    y = np.sin(np.pi * x)
    params = {
        "W1": 3 * np.cos(np.arange(8) + 1.0)[None, :],
        "b1": np.sin(3.0 * np.arange(8)),
        "W2": 0.3 * np.cos(2.0 * np.arange(8))[:, None],
        "b2": np.zeros(1),
    }
    losses = []
    for step in range(STEPS + 1):
        if step % 50 == 0:
            losses.append(float(plain_loss(params, x, y)))
        gradient = closed_form(params, x, y)
        params = {name: value - RATE * gradient[name] for name, value in params.items()}
    return losses


def test_the_example_descends_as_numpy_does(tmp_path: Path) -> None:
    with serving(tmp_path) as scene:
        done = subprocess.run(
            ["node", str(SCRIPT), scene.app.address, str(STEPS)],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    losses = [float(text) for text in re.findall(r"loss ([\d.]+)", done.stdout)]
    np.testing.assert_allclose(losses, descent_in_numpy(), atol=1e-9)
