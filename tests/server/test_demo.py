"""The demo from end to end, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "chainrule.cli", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        env={"PATH": "", "COLUMNS": "100", "TERM": "dumb"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_short_demo_shows_every_part(tmp_path: Path) -> None:
    picture = tmp_path / "curve.png"
    text = run("--seeds", "1", "--epochs", "2", "--output", str(picture))
    assert "4 (2x + 1) cos((2x + 1)^2) = -5.229148967" in text
    assert "sends -5.229148967 to %0" in text
    assert "softmax cross-entropy" in text
    assert "half square" in text
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_demo_reaches_97_percent_on_the_test_set(tmp_path: Path) -> None:
    text = run("--output", str(tmp_path / "curve.png"))
    means = re.findall(r"│ (softmax cross-entropy|half square) +│ +([\d.]+) %", text)
    assert float(dict(means)["softmax cross-entropy"]) >= 97.0
    assert float(dict(means)["half square"]) >= 90.0
