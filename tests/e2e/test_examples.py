"""The examples run as they are, each in a process of its own with a private server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
EXPECTED = {
    "gradient.py": ("loss 1.262867", "sends -5.229148967 to %0"),
    "scipy_minimise.py": ("L-BFGS-B", "trust-ncg"),
    "session.py": ("goes on at step 201", "accuracy 0.9"),
    "train.py": ("session 'sine' begins", "step   300"),
}


def test_every_example_is_listed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(EXPECTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_shows_what_it_promises(name: str) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CHAINRULE_")}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        capture_output=True,
        text=True,
        timeout=120,
        env=kept,
    )
    assert done.returncode == 0, done.stderr
    for text in EXPECTED[name]:
        assert text in done.stdout
