"""Comparing a traced function with the same function on plain NumPy arrays."""

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule.errors import ChainruleError
from chainrule.ir import checker, trees
from chainrule.tracing import Graph, trace
from support.evaluator import run

Row = tuple[str, Callable[..., Any], tuple[Any, ...]]


def rows(*table: Row) -> pytest.MarkDecorator:
    """Parameters `f, args` with the row's name as id."""
    return pytest.mark.parametrize(
        ("f", "args"), [pytest.param(f, args, id=name) for name, f, args in table]
    )


def numbers(*shape: int, seed: str = "", low: float = -2.0, high: float = 2.0) -> Any:
    """Uniform float64 numbers, the same for the same shape and seed."""
    random = np.random.default_rng(zlib.crc32(repr((shape, seed)).encode()))
    return random.uniform(low, high, shape)


def assert_same(
    f: Callable[..., Any], *args: Any, rtol: float = 1e-12, atol: float = 1e-12
) -> Graph:
    """f traced and evaluated equals f on the arrays: structure, dtype, shape, values."""
    graph = trace(f, *args)
    checker.check(graph.graph)
    with np.errstate(all="ignore"):
        compare(run(graph, *args), f(*args), rtol, atol)
    return graph


def assert_same_for_any_batch(
    f: Callable[..., Any], make: Callable[[int], tuple[Any, ...]], batch: Any
) -> Graph:
    """f traced once with a batch equals f at batch sizes it was not traced with."""
    graph = trace(f, *make(6), batch=batch)
    checker.check(graph.graph)
    for n in (1, 2, 6, 13):
        args = make(n)
        compare(run(graph, *args), f(*args), 1e-12, 1e-12)
    return graph


def compare(have: Any, want: Any, rtol: float, atol: float) -> None:
    """Two trees of arrays are equal."""
    names, leaves = trees.flatten(have, "out")
    wanted_names, wanted = trees.flatten(want, "out")
    assert names == wanted_names
    for name, x, y in zip(names, leaves, wanted, strict=True):
        y = np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape), name
        np.testing.assert_allclose(x, y, rtol, atol, err_msg=name)


def refusal(f: Callable[..., Any], *args: Any, **options: Any) -> ChainruleError:
    """The error of tracing f."""
    with pytest.raises(ChainruleError) as caught:
        trace(f, *args, **options)
    return caught.value


def line_of(f: Callable[..., Any], offset: int = 1) -> str:
    """`test_x.py:12`: the line `offset` lines below a function's `def`."""
    code = f.__code__
    return f"{code.co_filename.rsplit('/', 1)[1]}:{code.co_firstlineno + offset}"
