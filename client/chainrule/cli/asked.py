"""The function and the arguments that a command line names: a formula or a saved graph, and NAME=VALUE."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.cli.formula import parse_formula
from chainrule.errors import ErrorCode, GraphError
from chainrule.tracing import Graph


def function_and_arguments(options: argparse.Namespace) -> tuple[Any, list[Any]]:
    """What goes to a method of the client.

    Raises:
        GraphError: a value that is missing, unknown or none.
        TraceError: no formula.
    """
    given = dict(map(_assignment, options.values))
    path = Path(options.formula)
    if path.is_file():
        f: Any = Graph.load(path)
        names: tuple[str, ...] = f.in_prefixes
    else:
        f, names = parse_formula(options.formula)
    missing = [name for name in names if name not in given]
    unknown = [name for name in given if name not in names]
    if missing or unknown:
        fact = f"{missing[0]} has no value" if missing else f"{unknown[0]} is not in the formula"
        cure = "give " + " ".join(f"{name}=VALUE" for name in names)
        raise GraphError(fact, code=ErrorCode.MISSING_FIELD, cure=cure)
    return f, [given[name] for name in names]


def _assignment(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign:
        raise GraphError(
            f"{text!r} is no NAME=VALUE", code=ErrorCode.BAD_FIELD, cure="write it as x=0.5"
        )
    if value.endswith(".npy"):
        return name, _array(name, value)
    try:
        return name, float(value)
    except ValueError:
        raise GraphError(
            f"{name} is {value!r}, which is no number",
            code=ErrorCode.BAD_FIELD,
            cure="give a number, or the name of a .npy file",
        ) from None


def _array(name: str, path: str) -> Any:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise GraphError(
            f"{name}: {path} can't be read: {error}",
            code=ErrorCode.BAD_FIELD,
            cure="give a file that np.save wrote",
        ) from None
