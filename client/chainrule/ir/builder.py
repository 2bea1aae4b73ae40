"""Builds functions row by row: infers avals, checks, and gives equal rows one id (hash-consing)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, InvalidGraph
from chainrule.ir.attrs import Attrs, AttrValue, complete
from chainrule.ir.avals import Aval, DType, Shape, shape_at
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.graph import Debug, Function
from chainrule.ir.inference import infer, signature_of
from chainrule.ir.limits import MAX_CONSTANT_BYTES
from chainrule.ir.signature import Signature

_LIBRARY: dict[str, Signature] = {name: f.signature for name, f in FUNCTIONS.items()}


class Builder:
    """One function under construction. Values are row numbers.

    Equal nodes get one row, so rules may emit `cos(x)` as often as they like. Two RandomBits differ by their
    stream number, which their maker gives; nothing else has an identity beyond its operands.

    Args:
        functions: the earlier functions that structure nodes may name.
    """

    def __init__(self, functions: tuple[Function, ...] = ()) -> None:
        self.functions = functions
        self._defined: dict[Function, int] = {}
        self.line = ""
        self.label = ""
        self._ops: list[str] = []
        self._inputs: list[tuple[int, ...]] = []
        self._attrs: list[Attrs] = []
        self._avals: list[Aval] = []
        self._labels: list[str] = []
        self._lines: list[str] = []
        self._names: set[str] = set()
        self._known: dict[tuple[str, tuple[int, ...], Attrs], tuple[int, ...]] = {}

    def define(self, function: Function) -> int:
        """The index under which structure nodes may name a function; equal functions get one."""
        if not self._defined:
            self._defined = {known: i for i, known in enumerate(self.functions)}
        if function not in self._defined:
            self._defined[function] = len(self.functions)
            self.functions = (*self.functions, function)
        return self._defined[function]

    def __len__(self) -> int:
        return len(self._ops)

    def aval(self, value: int) -> Aval:
        """dtype and shape of a value."""
        return self._avals[value]

    def op(self, value: int) -> str:
        """The op of a value's row."""
        return self._ops[value]

    def operands(self, value: int) -> tuple[int, ...]:
        """The inputs of a value's row."""
        return self._inputs[value]

    def attrs(self, value: int) -> Attrs:
        """The attributes of a value's row."""
        return self._attrs[value]

    def outputs_of(self, value: int) -> tuple[int, ...]:
        """All outputs of a value's node."""
        return self._known.get(
            (self._ops[value], self._inputs[value], self._attrs[value]), (value,)
        )

    def input(self, name: str, aval: Aval) -> int:
        """A new input; all inputs come before the first node."""
        if self._ops and self._ops[-1] != "Input":
            raise InvalidGraph(f"input {name} after the first node", code=ErrorCode.INVALID_GRAPH)
        if name in self._names:
            raise InvalidGraph(
                f"two inputs are called {name[:64]!r}",
                code=ErrorCode.DUPLICATE_NAME,
                cure="give each a name of its own",
            )
        self._names.add(name)
        return self._row("Input", (), (("name", name),), aval)

    def add(self, op: str, *inputs: int, **attrs: AttrValue) -> int:
        """A node with one output (or the first of several)."""
        return self.add_multi(op, *inputs, **attrs)[0]

    def add_multi(self, op: str, *inputs: int, **attrs: AttrValue) -> tuple[int, ...]:
        """A node with all its outputs.

        Raises:
            GraphError: an unknown op, a bad attribute, inputs that don't fit.
        """
        signature = signature_of(op, _LIBRARY)
        full = complete(op, signature.attrs, attrs)
        key = (op, inputs, full)
        found = self._known.get(key)
        if found is not None:
            return found
        avals = infer(signature, tuple(self._avals[i] for i in inputs), full, self.functions)
        first = self._row(op, inputs, full, avals[0])
        rest = (
            self._row("Item", (first,), (("index", k),), aval)
            for k, aval in enumerate(avals[1:], start=1)
        )
        self._known[key] = rows = (first, *rest)
        return rows

    def repeat(self, op: str, inputs: tuple[int, ...], attrs: Attrs, aval: Aval) -> int:
        """A node with one output that was checked where it comes from; nothing is inferred again."""
        key = (op, inputs, attrs)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = (self._row(op, inputs, attrs, aval),)
        return found[0]

    def constant(self, value: Any, dtype: DType | None = None, shape: Shape | None = None) -> int:
        """A constant; equal elements are stored once (a filled array).

        Args:
            value: an array or scalar.
            dtype: to convert to; by default its own.
            shape: for a scalar that fills a shape, which may hold k*N.
        """
        array = np.asarray(value, dtype.numpy if dtype else None)
        kind = DType.of(array.dtype) if dtype is None else dtype
        array = np.ascontiguousarray(array, kind.numpy).reshape(array.shape)
        if array.nbytes > MAX_CONSTANT_BYTES:
            raise InvalidGraph(
                f"a constant of {array.nbytes} bytes",
                code=ErrorCode.CONSTANT_TOO_LARGE,
                cure="pass it as an argument or capture it",
            )
        data = array.tobytes()
        item = data[: kind.itemsize]
        if array.size > 1 and data == item * array.size:
            data = item
        return self.add(
            "Constant", dtype=kind, shape=array.shape if shape is None else shape, data=data
        )

    def finish(self, outputs: Sequence[int], names: Sequence[str], name: str = "main") -> Function:
        """The frozen function."""
        if not outputs or len(set(names)) != len(names) or len(names) != len(outputs):
            raise InvalidGraph(
                f"{len(outputs)} outputs with names {list(names)[:8]}",
                code=ErrorCode.DUPLICATE_NAME,
                cure="give at least one output and each a name of its own",
            )
        return Function(
            name,
            tuple(self._ops),
            tuple(self._inputs),
            tuple(self._attrs),
            tuple(self._avals),
            tuple(outputs),
            tuple(names),
        )

    def debug(self) -> Debug:
        """Labels and source lines of the rows, for the message beside the graph."""
        return Debug(tuple(self._labels), tuple(self._lines))

    def _row(self, op: str, inputs: tuple[int, ...], attrs: Attrs, aval: Aval) -> int:
        self._ops.append(op)
        self._inputs.append(inputs)
        self._attrs.append(attrs)
        self._avals.append(aval)
        self._labels.append(self.label)
        self._lines.append(self.line)
        return len(self._ops) - 1


def constant_array(aval: Aval, data: bytes, n: int) -> np.ndarray[Any, Any]:
    """The value of a Constant row for a batch of n examples; a filled one is a 0-stride view."""
    shape = shape_at(aval.shape, n)
    flat = np.frombuffer(data, aval.dtype.numpy)
    return np.broadcast_to(flat[0], shape) if len(flat) == 1 else flat.reshape(shape)
