"""Graphs as columns and back. What is read here is only well-formed; `ir.checker` says if it is valid."""

from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, pairwise
from typing import Generic, TypeVar, cast

from chainrule.errors import ErrorCode, InvalidGraph, Unsupported
from chainrule.ir.attrs import REQUIRED, Attrs, AttrValue
from chainrule.ir.avals import Aval, BatchDim, Dim, DType
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.graph import Debug, Function, Graph
from chainrule.ir.primitives import PRIMITIVES
from chainrule.proto.v1 import graph_pb2 as pb
from chainrule.proto.v1 import tensor_pb2
from chainrule.wire.tensor import dtype_from_proto

FORMAT_VERSION = 1

Entry = TypeVar("Entry", bound=Hashable)
Item = TypeVar("Item")


class _Table(Generic[Entry]):
    """Entries in order of first use."""

    def __init__(self) -> None:
        self.index: dict[Entry, int] = {}

    def __call__(self, entry: Entry) -> int:
        return self.index.setdefault(entry, len(self.index))


def graph_to_proto(graph: Graph) -> pb.Graph:
    """The message of a graph, without its debug part. Equal graphs give equal messages."""
    strings: _Table[str] = _Table()
    avals: _Table[Aval] = _Table()
    sets: _Table[tuple[tuple[str, type, object], ...]] = _Table()
    attrs_of: list[Attrs] = []
    message = pb.Graph(format_version=FORMAT_VERSION)
    for function in graph.functions:
        columns = message.functions.add(name=strings(function.name))
        columns.ops.extend(map(strings, function.ops))
        columns.arities.extend(map(len, function.inputs))
        columns.inputs.extend(i for row in function.inputs for i in row)
        columns.avals.extend(map(avals, function.avals))
        for attrs in function.attrs:
            number = sets(tuple(_key(name, value) for name, value in attrs))
            if number == len(attrs_of):
                attrs_of.append(attrs)
            columns.attribute_sets.append(number)
        columns.outputs.extend(function.outputs)
        columns.output_names.extend(map(strings, function.output_names))
    for aval in avals.index:
        message.avals.add(dtype=_dtype(aval.dtype), shape=_dims_to_proto(aval.shape))
    for attrs in attrs_of:
        entry = message.attribute_sets.add()
        for name, value in attrs:
            _attribute_to_proto(entry.attributes.add(name=strings(name)), value, strings)
    message.strings.extend(strings.index)
    return message


def _key(name: str, value: AttrValue) -> tuple[str, type, object]:
    # True == 1 == 1.0 and 0.0 == -0.0, and they are different attributes.
    return name, type(value), repr(value) if isinstance(value, float) else value


def graph_from_proto(message: pb.Graph, debug: pb.Debug | None = None) -> Graph:
    """The graph of a message; attributes left out get their defaults.

    Cost: linear in the message; nothing is allocated that grows with a dimension.

    Raises:
        Unsupported: a format version that isn't read (UNSUPPORTED_VERSION).
        InvalidGraph: an index outside its table or columns of unequal length (BAD_REF), an attribute
            without value, attributes out of order (NON_CANONICAL).
    """
    if message.format_version != FORMAT_VERSION:
        raise Unsupported(
            f"graph format {message.format_version} is not read here",
            code=ErrorCode.UNSUPPORTED_VERSION,
            field="graph.format_version",
            cure=f"send format {FORMAT_VERSION}, or update the older side",
        )
    strings = tuple(message.strings)
    avals = tuple(
        Aval(dtype_from_proto(a.dtype), _dims_from_proto(a.shape, f"graph.avals[{i}].shape"))
        for i, a in enumerate(message.avals)
    )
    sets = tuple(
        _attributes_from_proto(s, strings, f"graph.attribute_sets[{i}]")
        for i, s in enumerate(message.attribute_sets)
    )
    functions = tuple(
        _function_from_proto(f, strings, avals, sets, f"graph.functions[{i}]")
        for i, f in enumerate(message.functions)
    )
    return Graph(functions, debug_from_proto(debug) if debug is not None else ())


def debug_to_proto(graph: Graph) -> pb.Debug:
    """Labels and source lines of a graph."""
    strings: _Table[str] = _Table()
    strings("")
    message = pb.Debug()
    for debug in graph.debug:
        entry = message.functions.add(labels=map(strings, debug.labels))
        for line in debug.lines:
            file, _, number = line.rpartition(":")
            entry.files.append(strings(file))
            entry.lines.append(int(number) if number.isdecimal() else 0)
    message.strings.extend(strings.index)
    return message


def debug_from_proto(message: pb.Debug) -> tuple[Debug, ...]:
    """Labels and lines, one entry a function.

    Raises:
        InvalidGraph: an index outside the strings (BAD_REF), or a text that is no name (BAD_NAME).
    """
    strings = tuple(_shown(text) for text in message.strings)
    out = []
    for i, entry in enumerate(message.functions):
        labels = _pick(strings, entry.labels, f"debug.functions[{i}].labels")
        files = _pick(strings, entry.files, f"debug.functions[{i}].files")
        # A client may send a whole path by mistake: it goes no further than here.
        lines = (
            f"{f.replace(chr(92), '/').rpartition('/')[2]}:{n}" if f and n else ""
            for f, n in zip(files, entry.lines, strict=False)
        )
        out.append(Debug(labels, tuple(lines)))
    return tuple(out)


def _shown(text: str) -> str:
    """Refuse what could confuse a reader of a log or a terminal: control and bidi characters."""
    if len(text) > 256 or not text.isprintable():
        raise InvalidGraph(
            f"label or file name {text[:32]!r} in the debug part",
            code=ErrorCode.BAD_NAME,
            field="debug.strings",
            cure="use at most 256 printable characters",
        )
    return text


def _function_from_proto(
    message: pb.Function,
    strings: tuple[str, ...],
    avals: tuple[Aval, ...],
    sets: tuple[Attrs, ...],
    field: str,
) -> Function:
    ops = _pick(strings, message.ops, f"{field}.ops")
    columns = (message.arities, message.avals, message.attribute_sets)
    if any(len(column) != len(ops) for column in columns):
        raise InvalidGraph(
            f"columns of {len(ops)} ops and {', '.join(str(len(c)) for c in columns)} entries",
            code=ErrorCode.BAD_REF,
            field=field,
            cure="give arities, avals and attribute_sets one entry a row",
        )
    flat = tuple(message.inputs)
    ends = (0, *accumulate(message.arities))
    if ends[-1] != len(flat):
        raise InvalidGraph(
            f"the arities add up to {ends[-1]}, there are {len(flat)} inputs",
            code=ErrorCode.BAD_REF,
            field=f"{field}.inputs",
            cure="give each row as many inputs as its arity says",
        )
    attrs = _pick(sets, message.attribute_sets, f"{field}.attribute_sets")
    return Function(
        name=_pick(strings, (message.name,), f"{field}.name")[0],
        ops=ops,
        inputs=tuple(flat[a:b] for a, b in pairwise(ends)),
        attrs=tuple(_with_defaults(op, a) for op, a in zip(ops, attrs, strict=True)),
        avals=_pick(avals, message.avals, f"{field}.avals"),
        outputs=tuple(message.outputs),
        output_names=_pick(strings, message.output_names, f"{field}.output_names"),
    )


def _with_defaults(op: str, attrs: Attrs) -> Attrs:
    missing = _DEFAULTS.get(op)
    if not missing:
        return attrs
    given = {name for name, _ in attrs}
    added = tuple((name, value) for name, value in missing if name not in given)
    return tuple(sorted(attrs + added, key=lambda pair: pair[0])) if added else attrs


_DEFAULTS: dict[str, Attrs] = {
    signature.name: tuple(
        (spec.name, spec.default) for spec in signature.attrs if spec.default is not REQUIRED
    )
    for signature in (*PRIMITIVES.values(), *(f.signature for f in FUNCTIONS.values()))
}


def _pick(table: Sequence[Item], indices: Sequence[int], field: str) -> tuple[Item, ...]:
    """The entries at the indices, or BAD_REF with the first one outside."""
    if indices and max(indices) >= len(table):
        at = next(i for i, index in enumerate(indices) if index >= len(table))
        raise InvalidGraph(
            f"entry {at} is {indices[at]}, its table has {len(table)}",
            code=ErrorCode.BAD_REF,
            field=field,
            cure="refer to entries of the table",
        )
    return tuple(map(table.__getitem__, indices))


def _dims_to_proto(dims: Sequence[Dim]) -> pb.Dims:
    return pb.Dims(
        values=[d.k if isinstance(d, BatchDim) else d for d in dims],
        batch_axes=[i for i, d in enumerate(dims) if isinstance(d, BatchDim)],
    )


def _dims_from_proto(message: pb.Dims, field: str) -> tuple[Dim, ...]:
    dims: list[Dim] = list(message.values)
    last = -1
    for axis in message.batch_axes:
        if not last < axis < len(dims):
            raise InvalidGraph(
                f"batch axis {axis} of {len(dims)} dims",
                code=ErrorCode.BAD_DIM,
                field=field,
                cure="name positions in ascending order, each once",
            )
        dims[axis] = BatchDim(message.values[axis])
        last = axis
    return tuple(dims)


def _attribute_to_proto(message: pb.Attribute, value: AttrValue, strings: _Table[str]) -> None:
    if isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, DType):
        message.dtype_value = _dtype(value)
    elif isinstance(value, int):
        message.int_value = value
    elif isinstance(value, float):
        message.float_value = value
    elif isinstance(value, str):
        message.string_value = strings(value)
    elif isinstance(value, bytes):
        message.bytes_value = value
    else:
        message.dims_value.CopyFrom(_dims_to_proto(value))


def _attributes_from_proto(message: pb.AttributeSet, strings: tuple[str, ...], field: str) -> Attrs:
    out: list[tuple[str, AttrValue]] = []
    for i, attribute in enumerate(message.attributes):
        path = f"{field}.attributes[{i}]"
        name = _pick(strings, (attribute.name,), f"{path}.name")[0]
        if out and out[-1][0] >= name:
            raise InvalidGraph(
                f"attribute {name[:64]!r} is not after {out[-1][0][:64]!r}",
                code=ErrorCode.NON_CANONICAL,
                field=path,
                cure="sort the attributes of a set by name, each once",
            )
        kind = attribute.WhichOneof("value")
        if kind is None:
            raise InvalidGraph(
                f"attribute {name[:64]!r} has no value",
                code=ErrorCode.MISSING_FIELD,
                field=path,
                cure="give it one",
            )
        out.append((name, _READERS[kind](attribute, strings, path)))
    return tuple(out)


def _dtype(dtype: DType) -> tensor_pb2.DType:
    # Protobuf writes an enum as any whole number; its stubs ask for their own class.
    return cast(tensor_pb2.DType, int(dtype))


_READERS: dict[str, Callable[[pb.Attribute, tuple[str, ...], str], AttrValue]] = {
    "bool_value": lambda a, s, p: a.bool_value,
    "int_value": lambda a, s, p: a.int_value,
    "float_value": lambda a, s, p: a.float_value,
    "string_value": lambda a, s, p: _pick(s, (a.string_value,), p)[0],
    "bytes_value": lambda a, s, p: a.bytes_value,
    "dtype_value": lambda a, s, p: dtype_from_proto(a.dtype_value),
    "dims_value": lambda a, s, p: _dims_from_proto(a.dims_value, p),
}
