"""README.md is true: its code runs, and prints what the page shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", re.M | re.S)


def run(script: Path, folder: Path) -> str:
    """What a script prints, run where nothing but the package is at hand."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CHAINRULE_")}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def blocks() -> list[tuple[str, str]]:
    """Code and output, in their order on the page."""
    return BLOCKS.findall((ROOT / "README.md").read_text())


@pytest.mark.parametrize("number", range(len(blocks())))
def test_the_code_of_the_readme_prints_what_it_shows(number: int, tmp_path: Path) -> None:
    code, shown = blocks()[number]
    script = tmp_path / "readme.py"
    script.write_text(code)
    assert run(script, tmp_path) == shown


def test_the_readme_has_a_gradient_and_a_session() -> None:
    code = "".join(code for code, _ in blocks())
    assert "value_and_grad" in code
    assert "create_session" in code
