"""The user's line is the first one outside of chainrule and NumPy."""

from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule.tracing import trace
from chainrule.tracing.source import Source, user_source

NUMPY = Path(np.__file__).parent
OURS = Path(chainrule.__file__).parent


def line_seen_from(path: str) -> str:
    """The line of an operation in a function whose source is said to be at this path."""
    space: dict[str, Any] = {"np": np}
    FunctionType(compile("def f(x):\n    return np.exp(x)\n", path, "exec"), space)()
    graph = trace(space["f"], 1.0)
    return graph.graph.debug[-1].lines[graph.graph.main.ops.index("Exp")]


@pytest.mark.parametrize(
    "path",
    [
        "/home/someone/secret/model.py",
        f"{NUMPY}ro/model.py",
        f"{OURS}_server/demo/model.py",
        "model.py",
    ],
)
def test_code_elsewhere_is_the_users_and_only_its_base_name_is_kept(path: str) -> None:
    assert line_seen_from(path) == "model.py:2"


@pytest.mark.parametrize("path", [f"{NUMPY}/lib/x.py", f"{OURS}/nn/x.py"])
def test_code_of_numpy_and_chainrule_is_machinery(path: str) -> None:
    assert line_seen_from(path).startswith("test_source.py:")


def test_labels_are_assigned_names_only() -> None:
    here = user_source()
    assert here.label == "here"
    assert Source(here.path, here.line + 1).label == ""
    assert Source().text == "" and Source().label == ""
