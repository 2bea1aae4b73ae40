"""What happens around a stateless call: missing objects, warnings."""

import time
from typing import Any

import grpc
import numpy as np
import pytest

import chainrule as cr
from chainrule.connection import Address
from chainrule.errors import NotFound
from chainrule.gradients import Gradients, value_wish, warn_unsplit
from chainrule.objects import Objects
from chainrule.options import Options
from chainrule.prepared import prepare
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import object_pb2
from chainrule.transport import Transport
from chainrule.wire.records import Notice
from support.raw_server import RawServer


def present(data: bytes, context: grpc.ServicerContext) -> bytes:
    n = len(object_pb2.HasRequest.FromString(data).digests)
    return object_pb2.HasResponse(present=[True] * n, lease_ttl_ms=600_000).SerializeToString()


def gradients_of(server: RawServer) -> Gradients:
    transport = Transport(Address.parse(server.address))
    return Gradients(transport, Objects(transport))


def test_a_graph_and_captures_that_the_server_lost_are_given_again() -> None:
    table = np.random.default_rng(0).normal(size=10_000)
    prepared = prepare(lambda x: np.sum(x * table), (table,))
    digest = bytes.fromhex(prepared.graph.digest)
    asked: list[pb.ComputeRequest] = []

    def compute(data: bytes, context: grpc.ServicerContext) -> bytes:
        asked.append(pb.ComputeRequest.FromString(data))
        if len(asked) == 1:
            raise NotFound("no graph", code=cr.ErrorCode.OBJECT_MISSING, missing=(digest,))
        return pb.ComputeResponse(results=[pb.ComputeResult()], finite=True).SerializeToString()

    def register(data: bytes, context: grpc.ServicerContext) -> bytes:
        assert pb.RegisterRequest.FromString(data).graph.functions
        return pb.RegisterResponse(digest=digest).SerializeToString()

    answers: Any = {"Compute": compute, "Register": register, "Has": present}
    with RawServer(answers).serving() as server:
        answer = gradients_of(server).compute(prepared, [value_wish()], Options(), digest)
    assert answer.finite
    assert [m for m, _ in server.seen] == ["Has", "Compute", "Register", "Compute"]
    assert asked[0].graph_digest == asked[1].graph_digest == digest


def test_what_stays_missing_is_the_caller_s_to_know() -> None:
    prepared = prepare(lambda x: np.sum(x), (np.ones(2),))

    def compute(data: bytes, context: grpc.ServicerContext) -> bytes:
        raise NotFound("no object", code=cr.ErrorCode.OBJECT_MISSING, missing=(b"d" * 32,))

    with (
        RawServer({"Compute": compute}).serving() as server,
        pytest.raises(NotFound, match="no object"),
    ):
        gradients_of(server).compute(prepared, [value_wish()], Options())
    assert 2 <= len(server.seen) <= 6


def test_another_refusal_is_not_mended() -> None:
    prepared = prepare(lambda x: np.sum(x), (np.ones(2),))
    with RawServer({}).serving() as server:
        gradients = gradients_of(server)
        error = cr.ShapeMismatch("no", code=cr.ErrorCode.SHAPE_MISMATCH)
        assert not gradients.mend(error, prepared.graph, (), time.monotonic() + 1)


def test_only_an_unsplit_batch_warns() -> None:
    warn_unsplit([Notice("PROMOTED", "float32 became float64")], stacklevel=1)
    with pytest.warns(cr.UnsplitWarning, match=r"^m\.py:3: node 4 couples rows$"):
        warn_unsplit([Notice("COUPLED", "node 4 couples rows", source_line="m.py:3")], 1)
