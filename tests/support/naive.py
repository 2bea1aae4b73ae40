"""The meaning of a function, row by row in plain NumPy: an oracle that shares no code with the engine.

Complex inputs pass through the smooth ops, for the complex step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from chainrule.ir.avals import shape_at
from chainrule.ir.graph import Function
from support import references, references_linalg

Array = NDArray[Any]

_UFUNCS: dict[str, Callable[..., Any]] = {
    "Neg": np.negative, "Abs": np.abs, "Sign": np.sign, "Exp": np.exp, "Expm1": np.expm1,
    "Log": np.log, "Log1p": np.log1p, "Sqrt": np.sqrt, "Sin": np.sin, "Cos": np.cos,
    "Tanh": np.tanh, "Floor": np.floor, "Add": np.add, "Sub": np.subtract, "Mul": np.multiply,
    "Div": np.divide, "Pow": np.power, "Max": np.maximum, "Min": np.minimum, "Less": np.less,
    "Equal": np.equal, "And": np.bitwise_and, "Or": np.bitwise_or, "Xor": np.bitwise_xor,
    "Not": np.logical_not, "IntDiv": np.floor_divide, "Mod": np.remainder, "Where": np.where,
    "IsFinite": np.isfinite, "MatMul": np.matmul, "Atan2": np.arctan2,
    "Erf": special.erf, "Round": np.round,
}  # fmt: skip


def rows(function: Function, inputs: Sequence[Array], n: int = 1) -> list[Array]:
    """The value of every row, for a batch of n examples."""
    values: list[Array] = []
    with np.errstate(all="ignore"):
        for node in function:
            attrs = {k: shape_at(v, n) if isinstance(v, tuple) else v for k, v in node.attrs}
            if node.op == "Input":
                values.append(np.asarray(inputs[node.id]))
            else:
                shape = node.aval.concrete(n).dims
                ins = [values[i] for i in node.inputs]
                values.append(np.asarray(value(node.op, ins, attrs, shape, n)))
                if not np.iscomplexobj(values[-1]):
                    assert values[-1].dtype == node.aval.dtype.numpy, node
                assert values[-1].shape == shape, node
    return values


def outputs(function: Function, feeds: Mapping[str, Array], n: int = 1) -> dict[str, Array]:
    """The outputs by name."""
    values = rows(function, [feeds[name] for name in function.input_names], n)
    return {
        name: values[row] for name, row in zip(function.output_names, function.outputs, strict=True)
    }


def value(
    op: str, ins: Sequence[Array], attrs: Mapping[str, Any], shape: tuple[int, ...], n: int
) -> Any:
    """What a primitive gives, its output having this shape."""
    if op in _UFUNCS:
        return _UFUNCS[op](*ins)
    x = ins[0] if ins else np.zeros(())
    match op:
        case "IntPow":
            return np.prod([x] * attrs["n"], 0) if attrs["n"] > 0 else x ** float(attrs["n"])
        case "Cast":
            return x.astype(attrs["dtype"].numpy)
        case "Constant":
            data = np.frombuffer(attrs["data"], attrs["dtype"].numpy)
            return np.full(shape, data[0]) if len(data) == 1 else data.reshape(shape)
        case "Iota":
            one = np.arange(shape[attrs["axis"]]).astype(attrs["dtype"].numpy)
            axis = attrs["axis"] % len(shape)
            return np.broadcast_to(one.reshape(-1, *[1] * (len(shape) - axis - 1)), shape)
        case "DimSize":
            return np.int64(attrs["k"] * n)
        case "Reshape":
            return np.array(x).reshape(shape)
        case "Transpose":
            return np.transpose(x, attrs["perm"])
        case "Expand":
            return np.broadcast_to(x, shape)
        case "Slice":
            return references.slice_(x, **attrs)
        case "Flip":
            return np.flip(x, attrs["axes"])
        case "Pad":
            return references.pad(x, **attrs)
        case "Concat":
            return np.concatenate(ins, attrs["axis"])
        case "ReduceSum":
            return np.sum(x, attrs["axes"], keepdims=attrs["keepdims"], dtype=x.dtype)
        case "ReduceMax":
            return np.max(x, attrs["axes"], keepdims=attrs["keepdims"])
        case "ArgMax":
            return np.argmax(x, attrs["axis"])
        case "Gather":
            return references.gather(x, ins[1], **attrs)
        case "ScatterAdd":
            return references.scatter_add(*ins, **attrs)
        case "RandomBits":
            return references.random_bits(*ins, **attrs)
        case "CumSum":
            return references_linalg.cum_sum(x, **attrs)
        case "Unfold":
            return references_linalg.unfold(x, **attrs)
        case "Fold":
            return references_linalg.fold(x, **attrs)
        case "Dft":
            return references_linalg.dft(x, **attrs)
        case "Solve":
            return _solve(x, ins[1])
        case "ArgSort":
            return np.argsort(x, attrs["axis"], "stable")
        case "StopGradient":
            return x
    raise NotImplementedError(op)


def _solve(a: Array, b: Array) -> Array:
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return np.linalg.solve(
        np.broadcast_to(a, (*lead, *a.shape[-2:])), np.broadcast_to(b, (*lead, *b.shape[-2:]))
    )
