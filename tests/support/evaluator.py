"""What a graph means, op by op in plain NumPy: an oracle that shares nothing with the engine.

Slow and simple. Derivatives are central differences of order 4, so a nested one is good to about 1e-7.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval, BatchDim, DType, shape_at
from chainrule.ir.builder import Builder, constant_array
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.graph import Function, Graph
from chainrule.tracing import Graph as Traced
from support import references

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
        attrs = {k: _at(v, n) for k, v in node.attrs}
        operands = [values[i] for i in node.inputs]
        if node.op == "Item":
            out = several[node.inputs[0]][attrs["index"]]
        elif node.op in ("Call", "Vjp", "Jvp"):
            several[node.id] = _structure(functions, node.op, attrs, operands, n)
            out = several[node.id][0]
        elif node.op in FUNCTIONS:
            out = _library(node.op, dict(node.attrs), operands)
        elif node.op == "Constant":
            out = constant_array(node.aval, attrs["data"], n)
        elif node.op == "DimSize":
            out = np.int64(attrs["k"] * n)
        else:
            out = _OPS[node.op](attrs, *operands)
        shape = shape_at(node.aval.shape, n)
        assert np.shape(out) == shape, f"{node.op} gave {np.shape(out)}, declared {shape}"
        values.append(np.asarray(out, node.aval.dtype.numpy))
    return tuple(values[i] for i in function.outputs)


def _at(value: Any, n: int) -> Any:
    return shape_at(value, n) if isinstance(value, tuple) else value


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


def _iota(attrs: Attrs) -> Array:
    shape, axis = attrs["shape"], attrs["axis"]
    along = np.arange(shape[axis]).reshape(-1, *(1,) * (len(shape) - axis - 1))
    return np.broadcast_to(along, shape)


def _random_bits(attrs: Attrs, key: Array, counter: Array) -> Array:
    """Not Philox, but a function of key, stream and counter alone."""
    mixed = counter.astype(np.uint64) + np.uint64(attrs["stream"]) * np.uint64(0x9E3779B97F4A7C15)
    mixed = mixed + (key[0].astype(np.uint64) << np.uint64(32)) + key[1]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    words: Array = (mixed >> np.uint64(32)).astype(np.uint32)
    return words


def _scatter_add(attrs: Attrs, index: Array, updates: Array) -> Array:
    lead = attrs["batch_dims"]
    if lead:
        rest = {**attrs, "axis": attrs["axis"] - 1, "batch_dims": lead - 1}
        return np.stack([_scatter_add(rest, i, u) for i, u in zip(index, updates, strict=True)])
    axis = attrs["axis"]
    moved = np.moveaxis(updates, tuple(range(axis, axis + index.ndim)), tuple(range(index.ndim)))
    table = np.zeros((*attrs["size"], *moved.shape[index.ndim :]), updates.dtype)
    np.add.at(table, index, moved)
    return np.moveaxis(table, 0, axis)


def _sum(attrs: Attrs, x: Array) -> Any:
    return np.sum(x, axis=attrs["axes"], keepdims=attrs["keepdims"], dtype=x.dtype)


def _elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda attrs, *operands: function(*operands)


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "Neg": np.negative,
    "Abs": np.abs,
    "Sign": np.sign,
    "Exp": np.exp,
    "Expm1": np.expm1,
    "Log": np.log,
    "Log1p": np.log1p,
    "Sqrt": np.sqrt,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tanh": np.tanh,
    "Floor": np.floor,
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Max": np.maximum,
    "Min": np.minimum,
    "Less": np.less,
    "Equal": np.equal,
    "And": np.bitwise_and,
    "Or": np.bitwise_or,
    "Xor": np.bitwise_xor,
    "Not": np.logical_not,
    "IntDiv": np.floor_divide,
    "Mod": np.remainder,
    "Where": np.where,
    "IsFinite": np.isfinite,
    "MatMul": np.matmul,
    "StopGradient": np.asarray,
}
_OPS: dict[str, Callable[..., Any]] = {
    name: _elementwise(function) for name, function in _ELEMENTWISE.items()
}
_OPS |= {
    "Iota": _iota,
    "RandomBits": _random_bits,
    "IntPow": lambda a, x: x.astype(np.float64) ** a["n"] if a["n"] < 0 else x ** a["n"],
    "Cast": lambda a, x: x.astype(a["dtype"].numpy),
    "Reshape": lambda a, x: np.reshape(x, a["shape"]),
    "Transpose": lambda a, x: np.transpose(x, a["perm"]),
    "Expand": lambda a, x: np.broadcast_to(x, a["shape"]),
    "Slice": lambda a, x: references.slice_(x, **a),
    "Flip": lambda a, x: np.flip(x, a["axes"]),
    "Pad": lambda a, x: references.pad(x, **a),
    "Concat": lambda a, *xs: np.concatenate(xs, a["axis"]),
    "ReduceSum": _sum,
    "ReduceMax": lambda a, x: np.max(x, axis=a["axes"], keepdims=a["keepdims"]),
    "ArgMax": lambda a, x: np.argmax(x, axis=a["axis"]),
    "Gather": lambda a, t, i: references.gather(t, i, **a),
    "ScatterAdd": _scatter_add,
}
