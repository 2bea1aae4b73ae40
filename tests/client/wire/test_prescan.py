"""The scan before parsing: what passes, what is refused, and after how much work."""

import random

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from chainrule.errors import ChainruleError, ErrorCode, InvalidGraph, LimitExceeded
from chainrule.ir.limits import Limits
from chainrule.proto.v1 import gradient_pb2, graph_pb2, object_pb2, session_pb2, tensor_pb2
from chainrule.wire.calls import wishes_to_proto
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.prescan import budget_for, scan
from chainrule.wire.records import Computation, Wish
from chainrule.wire.tensor import tensors_to_proto
from support.sample_graphs import article

BUDGET = budget_for()


def request() -> gradient_pb2.ComputeRequest:
    graph = article()
    return gradient_pb2.ComputeRequest(
        graph=graph_to_proto(graph),
        debug=debug_to_proto(graph),
        feeds=tensors_to_proto({"args/0": np.array(0.7)}),
        wishes=wishes_to_proto([Wish(Computation.GRAD, ("args/0",))]),
    )


def field(number: int, body: bytes) -> bytes:
    """A length-delimited field with a number below 16 and a body of any length."""
    length, out = len(body), bytearray([number << 3 | 2])
    while length > 127:
        out.append(length & 127 | 128)
        length >>= 7
    return bytes(out) + bytes([length]) + body


def code_of(data: bytes, message: type = gradient_pb2.ComputeRequest) -> ErrorCode:
    with pytest.raises(ChainruleError) as refusal:
        scan(data, message, BUDGET)
    return refusal.value.code


def test_a_valid_request_passes_and_its_messages_are_counted() -> None:
    work = scan(request().SerializeToString(), gradient_pb2.ComputeRequest, BUDGET)
    assert work.messages["chainrule.v1.Graph"] == 1
    assert work.elements["chainrule.v1.Function.ops"] == len(article().main)


def test_strings_and_bytes_are_stepped_over() -> None:
    """The work doesn't grow with the elements of a tensor."""
    small, large = (
        scan(
            gradient_pb2.ComputeRequest(
                feeds=tensors_to_proto({"args/0": np.zeros(n)})
            ).SerializeToString(),
            gradient_pb2.ComputeRequest,
            BUDGET,
        )
        for n in (1, 100_000)
    )
    assert small.fields == large.fields


@pytest.mark.parametrize(
    ("name", "bomb"),
    [
        ("functions", field(5, b"") * 10**6),
        ("avals", field(3, b"") * 10**6),
        ("attribute sets", field(4, b"") * 10**6),
        ("attributes", field(4, field(1, b"") * 10**6)),
        ("strings", field(2, b"") * 10**6),
        ("rows", field(5, field(2, bytes(2 * 10**6)))),
        ("inputs", field(5, field(4, bytes(2 * 10**6)))),
        ("unpacked rows", field(5, b"\x10\x00" * 10**6)),
    ],
)
def test_a_bomb_is_refused_by_the_scan_after_bounded_work(name: str, bomb: bytes) -> None:
    with pytest.raises(LimitExceeded) as refusal:
        scan(field(1, bomb), gradient_pb2.ComputeRequest, BUDGET)
    assert refusal.value.code is ErrorCode.TOO_MANY_NODES
    # Counted, not timed: no more tags than the largest budget, whatever the message holds.
    assert refusal.value.facts["work"] <= 4 * Limits().nodes + 10


def test_a_large_graph_is_told_in_nodes_and_with_the_option_that_allows_it() -> None:
    body = graph_pb2.Function(ops=range(20_001))
    message = gradient_pb2.RegisterRequest(graph=graph_pb2.Graph(functions=[body]))
    with pytest.raises(LimitExceeded, match=r"^20001 nodes, above 20000; .* larger --max-nodes$"):
        scan(message.SerializeToString(), gradient_pb2.RegisterRequest, BUDGET)


def test_a_shape_with_millions_of_dims_is_refused_by_its_rank() -> None:
    dims = tensor_pb2.Tensor(dtype="D_TYPE_FLOAT64", dims=[1] * 1_000_000)
    message = gradient_pb2.ComputeRequest(feeds=[tensor_pb2.NamedTensor(name="x", tensor=dims)])
    assert code_of(message.SerializeToString()) is ErrorCode.RANK_TOO_LARGE


def test_unknown_fields_are_refused_in_a_graph_and_ignored_in_envelopes() -> None:
    unknown = b"\xfa\x3f\x01x"  # field 1023
    graph = graph_to_proto(article()).SerializeToString()
    assert code_of(field(1, graph + unknown)) is ErrorCode.UNKNOWN_FIELD
    inside = field(5, unknown)
    assert code_of(field(1, graph + inside)) is ErrorCode.UNKNOWN_FIELD
    scan(request().SerializeToString() + unknown, gradient_pb2.ComputeRequest, BUDGET)


@pytest.mark.parametrize(
    "data",
    [
        request().SerializeToString() * 2,
        field(1, b"") + field(2, bytes(32)),
        field(1, b"\x08\x01\x08\x01"),
    ],
    ids=["whole message twice", "both arms of a oneof", "field of a graph"],
)
def test_a_singular_field_given_twice_is_not_canonical(data: bytes) -> None:
    assert code_of(data) is ErrorCode.NON_CANONICAL


@pytest.mark.parametrize(
    "data",
    [
        b"\x80",
        b"\x80" * 11 + b"\x01",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x03",
        b"\x00\x01",
        b"\x08\x01",
        b"\x0a\x05abc",
        b"\x0d\x01",
    ],
    ids=[
        "cut varint",
        "endless varint",
        "length beyond the end",
        "group",
        "field zero",
        "wrong wire type",
        "cut field",
        "cut fixed",
    ],
)
def test_what_is_no_protobuf_of_the_type_is_malformed(data: bytes) -> None:
    assert code_of(data) is ErrorCode.MALFORMED_MESSAGE


def test_a_constant_above_its_bound_is_refused_before_parsing() -> None:
    constant = graph_pb2.Attribute(bytes_value=bytes(64 * 1024 + 1))
    graph = graph_pb2.Graph(attribute_sets=[graph_pb2.AttributeSet(attributes=[constant])])
    data = gradient_pb2.ComputeRequest(graph=graph).SerializeToString()
    assert code_of(data) is ErrorCode.CONSTANT_TOO_LARGE


def test_the_graph_of_a_larger_message_keeps_its_own_bound() -> None:
    graph = graph_pb2.Graph(strings=["x" * (4 * 2**20 + 1)])
    data = gradient_pb2.ComputeRequest(graph=graph).SerializeToString()
    assert code_of(data) is ErrorCode.MESSAGE_TOO_LARGE


def test_cut_and_mutated_requests_pass_or_are_refused_and_never_crash() -> None:
    data = request().SerializeToString()
    rng = random.Random("prescan")
    samples = [data[:n] for n in range(len(data))]
    for _ in range(3_000):
        mutant = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        samples.append(bytes(mutant))
    samples += [rng.randbytes(rng.randint(1, 200)) for _ in range(3_000)]
    for sample in samples:
        try:
            scan(sample, gradient_pb2.ComputeRequest, BUDGET)
        except (InvalidGraph, LimitExceeded):
            continue
        # What passes parses, but for texts that are no UTF-8.
        try:
            gradient_pb2.ComputeRequest.FromString(sample)
        except DecodeError as error:
            assert "UTF-8" in str(error) or sample != data


def test_every_served_message_has_a_schema_without_recursion() -> None:
    for message in (session_pb2.CreateRequest, session_pb2.StepRequest, object_pb2.PutRequest):
        assert scan(b"", message, BUDGET).fields == 0
