"""What a traced function gives: primitives by `naive`, library functions expanded, bodies called.

Slow and simple. Derivatives are central differences of order 4, so a nested one is good to about 1e-7.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval, BatchDim, DType, shape_at
from chainrule.ir.builder import Builder
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.graph import Function, Graph
from chainrule.tracing import Graph as Traced
from support import naive

Array = np.ndarray[Any, np.dtype[Any]]
Attrs = dict[str, Any]
_H = 1e-3


def run(
    traced: Traced, *args: Any, kwargs: Mapping[str, Any] | None = None, key: Any = None
) -> Any:
    """The result of a traced function at these arguments, with its structure."""
    feeds = {**traced.feeds(args, kwargs), **traced.captures}
    if traced.uses_random:
        feeds["$key"] = np.array([1, 2] if key is None else key, np.uint32)
    return traced.unflatten(evaluate(traced.graph, feeds))


def evaluate(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of a graph by name."""
    main = graph.main
    n = 1
    for name, aval in zip(main.input_names, main.in_avals, strict=True):
        for dim, have in zip(aval.shape, feeds[name].shape, strict=True):
            if isinstance(dim, BatchDim):
                n = have // dim.k
    with np.errstate(all="ignore"):
        values = _call(graph.functions, len(graph.functions) - 1, _ordered(main, feeds), n)
    return dict(zip(main.output_names, values, strict=True))


def _ordered(main: Function, feeds: Mapping[str, Array]) -> list[Array]:
    return [np.asarray(feeds[name]) for name in main.input_names]


def _call(
    functions: Sequence[Function], index: int, inputs: Sequence[Array], n: int
) -> tuple[Array, ...]:
    function = functions[index]
    values: list[Any] = list(inputs)
    several: dict[int, tuple[Array, ...]] = {}
    for node in function:
        if node.op == "Input":
            assert values[node.id].dtype == node.aval.dtype.numpy, function.input_names[node.id]
            continue
        attrs: Attrs = {k: shape_at(v, n) if isinstance(v, tuple) else v for k, v in node.attrs}
        shape = shape_at(node.aval.shape, n)
        operands = [values[i] for i in node.inputs]
        if node.op == "Item":
            out = several[node.inputs[0]][int(attrs["index"])]
        elif node.op in ("Call", "Vjp", "Jvp"):
            several[node.id] = _structure(functions, node.op, attrs, operands, n)
            out = several[node.id][0]
        elif node.op in FUNCTIONS:
            out = _library(node.op, dict(node.attrs), operands)
        else:
            out = naive.value(node.op, operands, attrs, shape, n)
        assert np.shape(out) == shape, f"{node.op} gave {np.shape(out)}, declared {shape}"
        values.append(np.asarray(out, node.aval.dtype.numpy))
    return tuple(values[i] for i in function.outputs)


def _library(op: str, attrs: Attrs, operands: list[Array]) -> Array:
    b = Builder()
    rows = [b.input(f"x{i}", Aval(DType.of(x.dtype), x.shape)) for i, x in enumerate(operands)]
    outputs = FUNCTIONS[op].expand(b, tuple(rows), attrs)
    function = b.finish(outputs, [f"y{i}" for i in range(len(outputs))])
    return _call((function,), 0, operands, 1)[0]


def _structure(
    functions: Sequence[Function], op: str, attrs: Attrs, operands: list[Array], n: int
) -> tuple[Array, ...]:
    def f(inputs: Sequence[Array]) -> tuple[Array, ...]:
        return _call(functions, attrs["function"], inputs, n)

    n_inputs = functions[attrs["function"]].n_inputs
    primals, seeds = operands[:n_inputs], operands[n_inputs:]
    outputs = f(primals)
    if op == "Call":
        return outputs
    wrt, outs = attrs["wrt"], attrs["outs"]
    if op == "Jvp":
        moved = _difference(f, primals, dict(zip(wrt, seeds, strict=True)))
        return (*outputs, *(moved[i] for i in outs))
    cotangents = []
    for i in wrt:
        ct = np.zeros_like(primals[i])
        for at in np.ndindex(*primals[i].shape):
            unit = np.zeros_like(primals[i])
            unit[at] = 1
            moved = _difference(f, primals, {i: unit})
            ct[at] = sum(np.vdot(seed, moved[j]) for seed, j in zip(seeds, outs, strict=True))
        cotangents.append(ct)
    return (*outputs, *cotangents)


def _difference(
    f: Callable[[Sequence[Array]], tuple[Array, ...]],
    primals: Sequence[Array],
    tangents: Mapping[int, Array],
) -> list[Array]:
    """(f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h along tangents."""
    total: list[Any] | None = None
    for weight, times in ((1, -2), (-8, -1), (8, 1), (-1, 2)):
        moved = [
            x + times * _H * tangents[i] if i in tangents else x for i, x in enumerate(primals)
        ]
        terms = [weight / (12 * _H) * np.asarray(y, np.float64) for y in f(moved)]
        total = terms if total is None else [a + b for a, b in zip(total, terms, strict=True)]
    return total or []
