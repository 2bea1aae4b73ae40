"""From unified rows to a graph: k*N dimensions, hash-consing, captured arrays as inputs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.errors import ChainruleError
from chainrule.ir.avals import Aval, BatchDim, DType, Shape
from chainrule.ir.builder import Builder
from chainrule.ir.graph import Debug, Function, Graph
from chainrule.ir.tensors import tensor_digest
from chainrule.tracing.fits import Affine, Filled, Fit, Fixed, Identity, Repeated, Scalar
from chainrule.tracing.source import Source
from chainrule.tracing.tape import MAX_INLINE_BYTES, Array, Tape
from chainrule.tracing.unify import Unified, check_same_path, unify


@dataclass(slots=True)
class _Building:
    """One function being built: its builder, and the rows that are inputs for captured arrays."""

    builder: Builder
    captures: dict[str, Array]
    rows: dict[int, tuple[int, ...]] = field(default_factory=dict)
    captured: dict[tuple[int, DType], int] = field(default_factory=dict)


def build_graph(tapes: Sequence[Tape], sizes: Sequence[int]) -> tuple[Graph, dict[str, Array]]:
    """The graph of tapes at several batch sizes, and its captured arrays by input name.

    Raises:
        TraceError: the tapes can't be unified.
        GraphError: a shape rule refuses a batch axis; names the line.
    """
    check_same_path(tapes, sizes)
    functions: list[Function] = []
    debugs: list[Debug] = []
    captures: dict[str, Array] = {}
    for level in (*zip(*(t.bodies for t in tapes), strict=True), tuple(tapes)):
        function, debug = _build(level, sizes, tuple(functions), captures)
        functions.append(function)
        debugs.append(debug)
    return Graph(tuple(functions), tuple(debugs)), captures


def _build(
    tapes: Sequence[Tape],
    sizes: Sequence[int],
    functions: tuple[Function, ...],
    captures: dict[str, Array],
) -> tuple[Function, Debug]:
    rows = unify(tapes, sizes)
    state = _Building(Builder(functions), captures)
    inputs = {row.row: row for row in rows if row.op == "Input"}
    for i in tapes[0].order or inputs:
        row = inputs[i]
        _place(state.builder, row.source)
        state.rows[i] = (state.builder.input(str(row.attrs["name"]), row.aval),)
    for row in rows:
        _bind_capture(state, row)
    for row in rows:
        if row.op != "Input":
            _place(state.builder, row.source)
            state.rows[row.row] = _emit(state, row)
    outputs = [state.rows[i][0] for i in tapes[0].outputs]
    function = state.builder.finish(outputs, tapes[0].output_names, tapes[0].name)
    return function, _labelled(state.builder.debug(), rows, state.rows)


def _place(builder: Builder, source: Source) -> None:
    builder.line = source.text


def _labelled(debug: Debug, rows: Sequence[Unified], built: dict[int, tuple[int, ...]]) -> Debug:
    """The last row of a line that assigns a variable carries its name."""
    labels = list(debug.labels)
    for row, after in zip(rows, (*rows[1:], None), strict=True):
        if row.op not in ("Input", "Constant") and (after is None or after.source != row.source):
            labels[built[row.row][0]] = row.source.label
    return Debug(tuple(labels), debug.lines)


def _bind_capture(state: _Building, row: Unified) -> None:
    """An input for a large array, one digest pass an array."""
    if not isinstance(row.fit, Fixed | Repeated):
        return
    known = (id(row.fit.array), row.aval.dtype)
    array = np.asarray(row.fit.array, row.aval.dtype.numpy)
    if array.nbytes <= MAX_INLINE_BYTES or known in state.captured:
        return
    name = f"capture/{tensor_digest(array).hex()}"
    b = state.builder
    if name in state.captures:
        # Another array with equal elements; the inputs so far are few.
        names = (str(b.attrs(i)[0][1]) for i in range(len(b)))
        state.captured[known] = next(i for i, n in enumerate(names) if n == name)
        return
    _place(b, row.source)
    state.captured[known] = b.input(name, Aval(row.aval.dtype, array.shape))
    state.captures[name] = array


def _emit(state: _Building, row: Unified) -> tuple[int, ...]:
    b = state.builder
    try:
        if row.op == "Item":
            index = row.attrs["index"]
            assert isinstance(index, int)
            return (state.rows[row.inputs[0]][index],)
        if row.fit is not None:
            return (_constant(state, row.fit, row.aval),)
        inputs = [state.rows[i][0] for i in row.inputs]
        return b.add_multi(row.op, *inputs, **row.attrs)
    except ChainruleError as error:
        error.line = error.line or row.source.text or None
        raise


def _constant(state: _Building, fit: Fit, aval: Aval) -> int:
    b, dtype = state.builder, aval.dtype
    match fit:
        case Fixed(array):
            return _array(state, array, dtype)
        case Repeated(array, shape):
            return _expand(b, _array(state, array, dtype), shape)
        case Filled(scalar, shape) if scalar.is_constant:
            return b.constant(scalar.a, dtype, shape)
        case Filled(scalar, shape):
            return _expand(b, _scalar(b, scalar, dtype), shape)
        case Identity(shape):
            rows = b.add("Iota", dtype=DType.INT64, shape=shape, axis=0)
            columns = b.add("Iota", dtype=DType.INT64, shape=shape, axis=1)
            return _cast(b, b.add("Equal", rows, columns), dtype)
        case Affine(start, steps, shape):
            return _affine(b, start, steps, shape, dtype)


def _array(state: _Building, array: Array, dtype: DType) -> int:
    captured = state.captured.get((id(array), dtype))
    return state.builder.constant(array, dtype) if captured is None else captured


def _affine(
    b: Builder, start: Scalar, steps: tuple[Scalar | None, ...], shape: Shape, dtype: DType
) -> int:
    wide = DType.FLOAT64 if dtype.is_float else DType.INT64
    total: int | None = None
    for axis, step in enumerate(steps):
        if step is None:
            continue
        term = b.add("Iota", dtype=wide, shape=shape, axis=axis)
        if not (step.is_constant and step.a == 1):
            term = b.add("Mul", term, _scalar(b, step, wide))
        total = term if total is None else b.add("Add", total, term)
    if total is None or not (start.is_constant and start.a == 0):
        first = _scalar(b, start, wide)
        total = first if total is None else b.add("Add", total, first)
    return _cast(b, _expand(b, total, shape), dtype)


def _scalar(b: Builder, scalar: Scalar, dtype: DType) -> int:
    """A scalar formula in N, computed in int64 or float64 and cast at the end."""
    if scalar.is_constant:
        return b.constant(scalar.a, dtype)
    whole = _whole(scalar)
    if whole is not None:
        a, k = whole
        out = b.add("DimSize", k=abs(k))
        out = out if k > 0 else b.add("Neg", out)
        out = b.add("Add", out, b.constant(a, DType.INT64)) if a else out
        return _cast(b, out, dtype)
    n = _cast(b, b.add("DimSize", k=1), DType.FLOAT64)
    if scalar.inverse or not scalar.c:
        out = b.add("Mul", n, _f64(b, scalar.b))
        out = b.add("Add", out, _f64(b, scalar.a)) if scalar.a else out
        return _cast(b, b.add("Div", _f64(b, scalar.c), out) if scalar.inverse else out, dtype)
    power = _root_or_power(b, n, abs(scalar.p))
    if scalar.p < 0:
        return _cast(b, b.add("Div", _f64(b, scalar.c), power), dtype)
    out = power if scalar.c == 1 else b.add("Mul", power, _f64(b, scalar.c))
    return _cast(b, out, dtype)


def _whole(scalar: Scalar) -> tuple[int, int] | None:
    """(a, k) of a + k*N where both are whole, as a count is."""
    if scalar.inverse:
        return None
    if scalar.c:
        a, k = 0.0, scalar.c if scalar.p == 1 else 0.5
    else:
        a, k = scalar.a, scalar.b
    return (int(a), int(k)) if float(a).is_integer() and float(k).is_integer() else None


def _root_or_power(b: Builder, n: int, p: float) -> int:
    if p == 0.5:
        return b.add("Sqrt", n)
    return n if p == 1 else b.add("IntPow", n, n=int(p))


def _f64(b: Builder, value: Any) -> int:
    return b.constant(float(value), DType.FLOAT64)


def _cast(b: Builder, value: int, dtype: DType) -> int:
    return value if b.aval(value).dtype is dtype else b.add("Cast", value, dtype=dtype)


def _expand(b: Builder, value: int, shape: Shape) -> int:
    if b.aval(value).shape == shape:
        return value
    have = b.aval(value).shape
    if len(have) == len(shape) and any(isinstance(d, BatchDim) for d in have):
        return value
    return b.add("Expand", value, shape=shape)
