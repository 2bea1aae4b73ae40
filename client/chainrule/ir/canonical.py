"""The canonical form of a graph: one byte string for one meaning. Its SHA-256 is the graph's digest.

Protobuf bytes are not canonical, so this form is our own; docs/protocol.md specifies it with test vectors.
Labels, source lines and the names of functions are not in it: moving a function a line keeps its digest.
All integers are unsigned LEB128 varints unless said otherwise.

    graph    = "chainrule.graph.v1\\0" count function*
    function = rows row* outputs (id name)*
    row      = op n_inputs distance* n_attrs (name value)* aval     distance = row - input >= 1
    aval     = u8 dtype, rank, dim*
    dim      = varint 2*d for a plain d, 2*k + 1 for k*N
    value    = u8 kind, payload: 0 false, 1 true, 2 zigzag int, 3 float64 LE, 4 string, 5 bytes,
               6 u8 dtype, 7 count dims (zigzag inside: 2*zigzag(d) or 2*zigzag(k) + 1)
    string   = length, UTF-8

Functions that `main` doesn't reach are left out and the rest renumbered in order of first use.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import replace

from chainrule.errors import ErrorCode, InvalidGraph
from chainrule.ir.attrs import Attrs, AttrValue, callees, renumbered
from chainrule.ir.avals import Aval, BatchDim, Dim, DType
from chainrule.ir.graph import Function, Graph

MAGIC = b"chainrule.graph.v1\0"


def digest(graph: Graph) -> bytes:
    """SHA-256 of the canonical form (32 bytes)."""
    return hashlib.sha256(encode(graph)).digest()


def normalise(graph: Graph) -> Graph:
    """The same graph without unreachable functions, in order of first use by a depth-first walk."""
    order: list[int] = []
    seen: set[int] = set()
    stack: list[tuple[int, bool]] = [(len(graph.functions) - 1, False)]
    while stack:
        index, done = stack.pop()
        if done:
            order.append(index)
        elif index not in seen:
            seen.add(index)
            stack.append((index, True))
            stack.extend((i, False) for i in reversed(_callees(graph.functions[index])))
    number = {old: new for new, old in enumerate(order)}
    functions = tuple(renumber(graph.functions[i], number) for i in order)
    debug = tuple(graph.debug_of(i) for i in order) if graph.debug else ()
    return Graph(functions, debug)


def _callees(function: Function) -> list[int]:
    return [i for attrs in function.attrs for i in callees(attrs)]


def renumber(function: Function, number: Mapping[int, int]) -> Function:
    """The function with the functions that it names under other indices."""
    if all(number[i] == i for i in _callees(function)):
        return function
    return replace(function, attrs=tuple(renumbered(row, number) for row in function.attrs))


def encode(graph: Graph) -> bytes:
    """The canonical bytes of a checked graph."""
    graph = normalise(graph)
    out = bytearray(MAGIC)
    _varint(out, len(graph.functions))
    for function in graph.functions:
        _varint(out, len(function))
        for row, op, inputs, attrs, aval in function:
            _string(out, op)
            _varint(out, len(inputs))
            for i in inputs:
                _varint(out, row - i)
            _attrs(out, attrs)
            _aval(out, aval)
        _varint(out, len(function.outputs))
        for row, name in zip(function.outputs, function.output_names, strict=True):
            _varint(out, row)
            _string(out, name)
    return bytes(out)


def _varint(out: bytearray, value: int) -> None:
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)


def _zigzag(value: int) -> int:
    return 2 * value if value >= 0 else -2 * value - 1


def _string(out: bytearray, text: str) -> None:
    data = text.encode()
    _varint(out, len(data))
    out += data


def _aval(out: bytearray, aval: Aval) -> None:
    out.append(aval.dtype)
    _varint(out, aval.rank)
    for dim in aval.shape:
        _varint(out, 2 * dim.k + 1 if isinstance(dim, BatchDim) else 2 * dim)


def _attrs(out: bytearray, attrs: Attrs) -> None:
    _varint(out, len(attrs))
    for name, value in attrs:
        _string(out, name)
        _value(out, value)


def _value(out: bytearray, value: AttrValue) -> None:
    if isinstance(value, bool):
        out.append(int(value))
    elif isinstance(value, DType):
        out += bytes((6, value))
    elif isinstance(value, int):
        out.append(2)
        _varint(out, _zigzag(value))
    elif isinstance(value, float):
        out.append(3)
        out += struct.pack("<d", value)
    elif isinstance(value, str):
        out.append(4)
        _string(out, value)
    elif isinstance(value, bytes):
        out.append(5)
        _varint(out, len(value))
        out += value
    else:
        out.append(7)
        _varint(out, len(value))
        for v in value:
            batched = isinstance(v, BatchDim)
            _varint(out, 2 * _zigzag(v.k if isinstance(v, BatchDim) else v) + batched)


class _Reader:
    """A cursor over canonical bytes; every read is bounded by what is left."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            raise InvalidGraph(
                "the canonical form ends too early", code=ErrorCode.MALFORMED_MESSAGE
            )
        self.at += n
        return self.data[self.at - n : self.at]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            if byte < 128:
                if shift and not byte:
                    raise InvalidGraph(
                        "a varint longer than it needs to be", code=ErrorCode.NON_CANONICAL
                    )
                return value
            shift += 7
            if shift > 1_100:
                raise InvalidGraph("an endless varint", code=ErrorCode.MALFORMED_MESSAGE)

    def count(self) -> int:
        """A number of things that take a byte each at least."""
        n = self.varint()
        if n > len(self.data) - self.at:
            raise InvalidGraph(
                "the canonical form ends too early", code=ErrorCode.MALFORMED_MESSAGE
            )
        return n

    def signed(self, raw: int | None = None) -> int:
        raw = self.varint() if raw is None else raw
        return -(raw + 1 >> 1) if raw & 1 else raw >> 1

    def string(self) -> str:
        try:
            return self.take(self.varint()).decode()
        except UnicodeDecodeError:
            raise InvalidGraph("a string that is no UTF-8", code=ErrorCode.BAD_NAME) from None

    def dtype(self) -> DType:
        try:
            return DType(self.take(1)[0])
        except ValueError:
            raise InvalidGraph("an unknown dtype number", code=ErrorCode.BAD_DTYPE) from None

    def dim(self) -> Dim:
        raw = self.varint()
        return BatchDim(raw >> 1) if raw & 1 else raw >> 1

    def aval(self) -> Aval:
        return Aval(self.dtype(), tuple(self.dim() for _ in range(self.count())))

    def value(self) -> AttrValue:
        kind = self.take(1)[0]
        match kind:
            case 0 | 1:
                return bool(kind)
            case 2:
                return self.signed()
            case 3:
                return float(struct.unpack("<d", self.take(8))[0])
            case 4:
                return self.string()
            case 5:
                return self.take(self.varint())
            case 6:
                return self.dtype()
            case 7:
                return tuple(self._entry() for _ in range(self.count()))
        raise InvalidGraph(f"attribute kind {kind}", code=ErrorCode.MALFORMED_MESSAGE)

    def _entry(self) -> Dim:
        raw = self.varint()
        value = self.signed(raw >> 1)
        return BatchDim(value) if raw & 1 else value


def decode(data: bytes) -> Graph:
    """The graph of canonical bytes, not yet checked: pass it to `checker.check` where it came from outside.

    Raises:
        InvalidGraph: bytes that are no canonical form.
    """
    reader = _Reader(data)
    if reader.take(len(MAGIC)) != MAGIC:
        raise InvalidGraph("these bytes are no graph", code=ErrorCode.MALFORMED_MESSAGE)
    functions = []
    for index in range(reader.count()):
        ops, inputs, attrs, avals = [], [], [], []
        for row in range(reader.count()):
            ops.append(reader.string())
            inputs.append(tuple(row - reader.varint() for _ in range(reader.count())))
            attrs.append(tuple((reader.string(), reader.value()) for _ in range(reader.count())))
            avals.append(reader.aval())
        outputs = [(reader.varint(), reader.string()) for _ in range(reader.count())]
        functions.append(
            Function(
                f"f{index}",
                tuple(ops),
                tuple(inputs),
                tuple(attrs),
                tuple(avals),
                tuple(row for row, _ in outputs),
                tuple(name for _, name in outputs),
            )
        )
    if reader.at != len(data) or not functions:
        raise InvalidGraph("bytes after the end of the graph", code=ErrorCode.MALFORMED_MESSAGE)
    return Graph(tuple(functions))
