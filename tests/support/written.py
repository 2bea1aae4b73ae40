"""Short ways to write graphs in tests."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.ir.avals import Aval, BatchDim, Dim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule.ir.graph import Function, Graph

N = BatchDim(1)
Array = NDArray[Any]


def f8(*shape: Dim) -> Aval:
    """float64 of a shape."""
    return Aval(DType.FLOAT64, shape)


def f4(*shape: Dim) -> Aval:
    """float32 of a shape."""
    return Aval(DType.FLOAT32, shape)


def i8(*shape: Dim) -> Aval:
    """int64 of a shape."""
    return Aval(DType.INT64, shape)


def graph(
    inputs: Mapping[str, Aval],
    body: Callable[..., Expr | Mapping[str, Expr]],
    functions: tuple[Function, ...] = (),
) -> Graph:
    """A graph from a Python function of expressions; a lone result is called `out`."""
    b = Builder(functions)
    made = body(*(Expr(b, b.input(name, aval)) for name, aval in inputs.items()))
    outputs = {"out": made} if isinstance(made, Expr) else made
    main = b.finish([e.id for e in outputs.values()], list(outputs))
    return Graph((*functions, main))


def function(
    inputs: Mapping[str, Aval], body: Callable[..., Expr | Mapping[str, Expr]]
) -> Function:
    """The main function of `graph`."""
    return graph(inputs, body).main


def feeds_for(function: Function, n: int, seed: int = 0) -> dict[str, Array]:
    """Arrays for the inputs of a function: normal floats, integers 0 ... 2, bools."""
    rng = np.random.default_rng(seed)
    out: dict[str, Array] = {}
    for name, aval in zip(function.input_names, function.in_avals, strict=True):
        shape = aval.concrete(n).dims
        kind = aval.dtype.numpy
        drawn: Any = rng.standard_normal(shape) if kind.kind == "f" else rng.integers(0, 3, shape)
        out[name] = np.asarray(drawn).astype(kind)
    return out
