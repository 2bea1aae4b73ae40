"""A look at the bytes of a message before protobuf may parse them.

Parsed, 4 MB of empty sub-messages take 90 to 290 MB; this walk keeps nothing but a stack of ends. It is
driven by the schema: it knows each field, steps over strings and bytes without looking inside, and
stops at the first message or packed element above its budget. It has no recursion.

Unknown fields are refused inside a `Graph`, where each must mean something, and ignored elsewhere, so that
a newer client can talk to an older server. A singular field given twice is refused everywhere: protobuf
would take the last, other readers the first.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto
from google.protobuf.message import Message

from chainrule.errors import ErrorCode, InvalidGraph, LimitExceeded
from chainrule.ir.limits import DEFAULT, Limits

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_HIGH = bytes(range(128, 256))
_GRAPH = "chainrule.v1.Graph"
_OPS = "chainrule.v1.Function.ops"
_LESS = "send less at once"
_CURES = {
    ErrorCode.TOO_MANY_NODES: "send a smaller graph (a Python loop repeats its body in it), "
    "or ask the operator for a larger --max-nodes",
}
_WIRE_TYPE = {
    FieldDescriptor.TYPE_DOUBLE: _FIXED64,
    FieldDescriptor.TYPE_FIXED64: _FIXED64,
    FieldDescriptor.TYPE_SFIXED64: _FIXED64,
    FieldDescriptor.TYPE_FLOAT: _FIXED32,
    FieldDescriptor.TYPE_FIXED32: _FIXED32,
    FieldDescriptor.TYPE_SFIXED32: _FIXED32,
    FieldDescriptor.TYPE_STRING: _BYTES,
    FieldDescriptor.TYPE_BYTES: _BYTES,
    FieldDescriptor.TYPE_MESSAGE: _BYTES,
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What one request may hold.

    Attributes:
        fields: tags read in all.
        messages: sub-messages by full name; `other` for those not listed.
        elements: entries of a repeated scalar field by full name, over the whole request.
        each: entries of one such field in one message.
        length: bytes of one field by full name.
    """

    fields: int
    other: int
    messages: Mapping[str, int] = field(default_factory=dict)
    elements: Mapping[str, tuple[int, ErrorCode]] = field(default_factory=dict)
    each: Mapping[str, tuple[int, ErrorCode]] = field(default_factory=dict)
    length: Mapping[str, tuple[int, ErrorCode]] = field(default_factory=dict)


@dataclass(slots=True)
class Work:
    """What a scan did: tags read and sub-messages entered, by name."""

    fields: int = 0
    messages: Counter[str] = field(default_factory=Counter)
    elements: Counter[str] = field(default_factory=Counter)


def budget_for(limits: Limits = DEFAULT, graph_bytes: int = 4 * 2**20) -> Budget:
    """The budget of the served calls under the limits of a server."""
    v1, nodes = "chainrule.v1.", limits.nodes
    too_many, rank = ErrorCode.TOO_MANY_NODES, ErrorCode.RANK_TOO_LARGE
    columns = ("ops", "arities", "avals", "attribute_sets")
    return Budget(
        fields=40 * nodes,
        other=10_000,
        messages={
            _GRAPH: 16,
            v1 + "Function": limits.functions,
            v1 + "Aval": nodes,
            # One in an aval, and the dims of attributes.
            v1 + "Dims": 4 * nodes,
            v1 + "AttributeSet": nodes,
            v1 + "Attribute": 4 * nodes,
            v1 + "FunctionDebug": limits.functions,
        },
        elements={
            **{f"{v1}Function.{name}": (nodes, too_many) for name in columns},
            v1 + "Function.inputs": (limits.edges, too_many),
            v1 + "Function.outputs": (nodes, too_many),
            v1 + "Function.output_names": (nodes, too_many),
            v1 + "Graph.strings": (2 * nodes, too_many),
            v1 + "Debug.strings": (2 * nodes, too_many),
            **{f"{v1}FunctionDebug.{n}": (nodes, too_many) for n in ("labels", "files", "lines")},
            v1 + "BatchRef.rows": (2**20, ErrorCode.TOO_LARGE),
            v1 + "HasRequest.digests": (1_024, ErrorCode.TOO_LARGE),
        },
        each={
            v1 + "Tensor.dims": (8, rank),
            v1 + "Dims.values": (64, rank),
            v1 + "Dims.batch_axes": (64, rank),
        },
        length={
            v1 + "ComputeRequest.graph": (graph_bytes, ErrorCode.MESSAGE_TOO_LARGE),
            v1 + "EstimateRequest.graph": (graph_bytes, ErrorCode.MESSAGE_TOO_LARGE),
            v1 + "ExplainRequest.graph": (graph_bytes, ErrorCode.MESSAGE_TOO_LARGE),
            v1 + "RegisterRequest.graph": (graph_bytes, ErrorCode.MESSAGE_TOO_LARGE),
            v1 + "GraphRef.graph": (graph_bytes, ErrorCode.MESSAGE_TOO_LARGE),
            v1 + "Attribute.bytes_value": (64 * 1024, ErrorCode.CONSTANT_TOO_LARGE),
            v1 + "OpHeader.client_cursor": (64 * 1024, ErrorCode.TOO_LARGE),
            v1 + "PutRequest.data": (2**20, ErrorCode.TOO_LARGE),
        },
    )


def scan(data: bytes, message: type[Message], budget: Budget) -> Work:
    """Walk the bytes of a message; returns what that took.

    Args:
        data: the request as it came.
        message: its type.
        budget: what it may hold.

    Raises:
        InvalidGraph: no protobuf of this type (MALFORMED_MESSAGE), a field unknown in a graph
            (UNKNOWN_FIELD) or given twice (NON_CANONICAL).
        LimitExceeded: above the budget, with `work` (tags read) among the facts.
    """
    work = Work()
    try:
        _walk(data, _schema(cast(Descriptor, message.DESCRIPTOR)), budget, work)
    except (InvalidGraph, LimitExceeded) as error:
        error.facts["work"] = work.fields
        raise
    return work


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    wire: int
    packable: bool
    repeated: bool
    # Fields of one oneof share a slot; so do all fields that may come once.
    slot: int
    child: "_Schema | None"


@dataclass(frozen=True, slots=True)
class _Schema:
    name: str
    strict: bool
    fields: dict[int, _Field]


@cache
def _schema(message: Descriptor, strict: bool = False) -> _Schema:
    strict = strict or message.full_name == _GRAPH
    fields: dict[int, _Field] = {}
    # Read from the proto: descriptors say "repeated" in other words from release to release.
    proto = DescriptorProto()
    message.CopyToProto(proto)
    repeated = {f.number for f in proto.field if f.label == FieldDescriptorProto.LABEL_REPEATED}
    for f in message.fields:
        wire = _WIRE_TYPE.get(f.type, _VARINT)
        oneof = f.containing_oneof
        fields[f.number] = _Field(
            f.full_name,
            wire,
            packable=f.number in repeated and wire != _BYTES,
            repeated=f.number in repeated,
            slot=1 << min(m.number for m in oneof.fields) if oneof else 1 << f.number,
            # Every message of the protocol is finite: none holds itself.
            child=_schema(f.message_type, strict) if f.type == f.TYPE_MESSAGE else None,
        )
    return _Schema(message.full_name, strict, fields)


def _walk(data: bytes, schema: _Schema, budget: Budget, work: Work) -> None:
    stack: list[tuple[int, _Schema, int, dict[str, int]]] = []
    at, end, seen = 0, len(data), 0
    counts: dict[str, int] = {}
    while True:
        while at < end:
            work.fields += 1
            if work.fields > budget.fields:
                raise _above(
                    f"more than {budget.fields} fields", ErrorCode.TOO_MANY_NODES, schema.name
                )
            tag, at = _varint(data, at, end)
            known = schema.fields.get(tag >> 3)
            wire = tag & 7
            if known is None:
                if schema.strict or tag >> 3 == 0:
                    raise _unknown(tag >> 3, schema)
                at = _skip(data, at, end, wire)
                continue
            if wire != known.wire and not (wire == _BYTES and known.packable):
                raise _malformed(f"field {known.name} has wire type {wire}")
            if not known.repeated:
                if seen & known.slot:
                    raise InvalidGraph(
                        f"field {known.name} or its alternative is given twice",
                        code=ErrorCode.NON_CANONICAL,
                        field=known.name,
                        cure="give it once",
                    )
                seen |= known.slot
            start = at
            if wire == _BYTES:
                length, start = _varint(data, at, end)
                at = start + length
                if at > end:
                    raise _malformed(f"field {known.name} is longer than its message")
                if known.name in budget.length:
                    _bound(length, budget.length[known.name], "bytes", known.name)
            else:
                at = _skip(data, at, end, wire)
            if known.child is not None:
                name = known.child.name
                work.messages[name] += 1
                most = budget.messages.get(name, budget.other)
                if work.messages[name] > most:
                    raise _above(f"more than {most} messages", ErrorCode.TOO_MANY_NODES, name)
                stack.append((end, schema, seen, counts))
                schema, seen, counts, at, end = known.child, 0, {}, start, at
            elif known.repeated:
                n = _entries(data, start, at, known) if wire == _BYTES and known.packable else 1
                work.elements[known.name] += n
                if known.name in budget.elements:
                    bound = budget.elements[known.name]
                    _bound(work.elements[known.name], bound, "entries", known.name)
                if known.name in budget.each:
                    counts[known.name] = counts.get(known.name, 0) + n
                    _bound(counts[known.name], budget.each[known.name], "entries", known.name)
        if not stack:
            return
        at = end
        end, schema, seen, counts = stack.pop()


def _entries(data: bytes, start: int, end: int, known: _Field) -> int:
    """The number of packed elements: for varints, of bytes that end one."""
    if known.wire == _FIXED64:
        return (end - start) // 8
    if known.wire == _FIXED32:
        return (end - start) // 4
    return len(data[start:end].translate(None, _HIGH))


def _varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            break
    raise _malformed("a number that doesn't end")


def _skip(data: bytes, at: int, end: int, wire: int) -> int:
    if wire == _VARINT:
        return _varint(data, at, end)[1]
    if wire == _FIXED64:
        at += 8
    elif wire == _FIXED32:
        at += 4
    elif wire == _BYTES:
        length, at = _varint(data, at, end)
        at += length
    else:
        raise _malformed(f"wire type {wire}")
    if at > end:
        raise _malformed("a field is longer than its message")
    return at


def _bound(have: int, bound: tuple[int, ErrorCode], unit: str, name: str) -> None:
    most, code = bound
    if have > most:
        held = f"{have} nodes" if name == _OPS else f"{have} {unit} in {name}"
        raise LimitExceeded(
            f"{held}, above {most}",
            code=code,
            field=name,
            cure=_CURES.get(code, _LESS),
            limit=most,
            value=have,
        )


def _above(text: str, code: ErrorCode, name: str) -> LimitExceeded:
    return LimitExceeded(f"{text} in {name}", code=code, field=name, cure=_CURES.get(code, _LESS))


def _unknown(number: int, schema: _Schema) -> InvalidGraph:
    return InvalidGraph(
        f"field {number} of {schema.name} is unknown",
        code=ErrorCode.UNKNOWN_FIELD if number else ErrorCode.MALFORMED_MESSAGE,
        field=schema.name,
        cure="send the fields of the format version that the graph names",
    )


def _malformed(text: str) -> InvalidGraph:
    return InvalidGraph(
        f"the bytes are no message of this call: {text}",
        code=ErrorCode.MALFORMED_MESSAGE,
        cure="encode the request with the protos of chainrule.v1",
    )
