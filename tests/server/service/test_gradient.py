"""Register, Compute, Estimate and Explain over real gRPC."""

import numpy as np
import pytest

from chainrule import calls
from chainrule.ir import canonical
from chainrule.ir.tensors import encode_tensor, tensor_digest
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import object_pb2
from chainrule.wire.calls import wishes_to_proto
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.records import Array, Computation, Wish
from chainrule.wire.tensor import (
    aval_from_proto,
    object_to_proto,
    tensor_to_proto,
    tensors_from_proto,
    tensors_to_proto,
)
from support.sample_graphs import article, bomb, mean_square
from support.serving import Scene

X = 0.7


def nowhere(digest: bytes) -> Array:
    raise AssertionError(digest.hex())


def values(result: pb.ComputeResult) -> dict[str, Array]:
    return tensors_from_proto(result.tensors, nowhere, "results")


def article_request(*wishes: Wish) -> pb.ComputeRequest:
    graph = article()
    return pb.ComputeRequest(
        graph=graph_to_proto(graph),
        debug=debug_to_proto(graph),
        feeds=tensors_to_proto({"args/0": np.array(X)}),
        wishes=wishes_to_proto(wishes),
    )


def test_all_computations_of_one_call_agree_with_the_closed_form(scene: Scene) -> None:
    one = {"args/0": np.array(1.0)}
    request = article_request(
        Wish(Computation.VALUE),
        Wish(Computation.GRAD, ("args/0",)),
        Wish(Computation.VJP, ("args/0",), ("out",), {"out": np.array(1.0)}),
        Wish(Computation.JVP, ("args/0",), (), one),
        Wish(Computation.HVP, ("args/0",), (), one),
    )
    reply = scene.answer(calls.COMPUTE, request)
    u = 2 * X + 1
    first = 4 * u * np.cos(u * u)
    second = 8 * np.cos(u * u) - 16 * u * u * np.sin(u * u)
    found = [next(iter(values(result).values())) for result in reply.results]
    np.testing.assert_allclose(found, [np.sin(u * u), first, first, first, second], rtol=1e-14)
    assert reply.finite
    assert reply.grad_norm == pytest.approx(abs(first), rel=1e-14)
    assert reply.resources.peak_bytes > 0
    assert reply.resources.workers_used == 1
    assert len(reply.numerics.numerics_id) == 32
    assert reply.graph_digest == canonical.digest(article())


def test_a_registered_graph_is_named_by_its_digest(scene: Scene) -> None:
    graph = article()
    message = pb.RegisterRequest(graph=graph_to_proto(graph), debug=debug_to_proto(graph))
    known = scene.answer(calls.REGISTER, message)
    assert known.digest == canonical.digest(graph)
    assert known.nodes == len(graph.main)
    request = article_request(Wish(Computation.VALUE))
    inline = scene.answer(calls.COMPUTE, request)
    request.graph_digest = known.digest
    assert scene.answer(calls.COMPUTE, request).results == inline.results


def batch_request(n: int, **fields: object) -> pb.ComputeRequest:
    graph = mean_square()
    rng = np.random.default_rng(n)
    return pb.ComputeRequest(
        graph=graph_to_proto(graph),
        feeds=tensors_to_proto({"args/0": np.array([1.0, 2.0, 3.0]), "args/1": rng.random((n, 3))}),
        wishes=wishes_to_proto([Wish(Computation.VALUE), Wish(Computation.GRAD, ("args/0",))]),
        **fields,  # type: ignore[arg-type]
    )


def test_a_batch_is_split_over_the_workers_with_the_same_result(scene: Scene) -> None:
    request = batch_request(1000, numerics=pb.NumericsPin(microshard_rows=64))
    reply = scene.answer(calls.COMPUTE, request)
    feeds = tensors_from_proto(request.feeds, nowhere, "feeds")
    w, x = feeds["args/0"], feeds["args/1"]
    loss = np.sum((x * w) ** 2) / 1000
    np.testing.assert_allclose(values(reply.results[0])["out"], loss, rtol=1e-12)
    np.testing.assert_allclose(
        values(reply.results[1])["args/0"], (2 * x * x * w).sum(0) / 1000, rtol=1e-12
    )
    assert reply.numerics.microshard_rows == 64
    assert scene.answer(calls.COMPUTE, request).results == reply.results


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (batch_request(4, examples=5), "BATCH_MISMATCH"),
        (batch_request(4, batch_arguments=[0]), "BATCH_MISMATCH"),
        (batch_request(0), "BATCH_MISMATCH"),
        (batch_request(4, numerics=pb.NumericsPin(numerics_id=b"x" * 32)), "NUMERICS_CHANGED"),
        (batch_request(4, limits=pb.ComputeLimits(max_bytes=64)), "COST_BYTES"),
    ],
)
def test_what_a_call_says_of_itself_is_held_against_it(
    scene: Scene, request_: pb.ComputeRequest, reason: str
) -> None:
    assert scene.refusal(calls.COMPUTE, request_).reason == reason


def test_an_estimate_is_what_the_run_then_takes(scene: Scene) -> None:
    request = batch_request(256)
    estimate = scene.answer(
        calls.ESTIMATE, pb.EstimateRequest(graph=request.graph, wishes=request.wishes, examples=256)
    )
    run = scene.answer(calls.COMPUTE, request)
    assert estimate.flops == run.resources.flops
    assert estimate.peak_bytes == run.resources.peak_bytes
    assert estimate.wire_bytes == 8 * (3 + 256 * 3 + 1 + 3)
    assert {cost.op for cost in estimate.by_node} >= {"Mul", "ReduceSum"}


def test_an_estimate_of_a_bomb_is_an_answer(scene: Scene) -> None:
    graph = bomb()
    message = pb.EstimateRequest(
        graph=graph_to_proto(graph), wishes=wishes_to_proto([Wish(Computation.VALUE)])
    )
    assert scene.answer(calls.ESTIMATE, message).peak_bytes > 10**12


def test_an_explanation_shows_the_chain_rule_node_by_node(scene: Scene) -> None:
    request = article_request()
    reply = scene.answer(
        calls.EXPLAIN,
        pb.ExplainRequest(graph=request.graph, debug=request.debug, feeds=request.feeds),
    )
    nodes = {node.op: node for node in reply.nodes}
    u = 2 * X + 1
    sine = nodes["Sin"]
    assert sine.source_line == "article.py:5"
    assert np.frombuffer(sine.value.raw)[0] == pytest.approx(np.sin(u * u))
    assert "cos(%" in sine.edges[0].rule
    assert np.frombuffer(sine.edges[0].local.raw)[0] == pytest.approx(np.cos(u * u))
    leaf = nodes["Input"]
    assert np.frombuffer(leaf.incoming.raw)[0] == pytest.approx(4 * u * np.cos(u * u))
    assert "cos(%" in reply.text


def test_a_feed_may_be_an_object_and_a_large_result_becomes_one(scene: Scene) -> None:
    wide = np.random.default_rng(0).random((100_000, 3))
    put_whole(scene, wide)
    request = batch_request(4)
    aval = aval_from_proto(tensor_to_proto(wide))
    request.feeds[1].tensor.CopyFrom(object_to_proto(aval, tensor_digest(wide)))
    request.wishes[1].wrt[:] = ["args/1"]
    reply = scene.answer(calls.COMPUTE, request)
    large = reply.results[1].tensors[0].tensor
    assert large.WhichOneof("data") == "object_digest"
    w = np.array([1.0, 2.0, 3.0])
    expected = 2 * wide * w * w / len(wide)
    raw = get_whole(scene, large.object_digest)[-expected.nbytes :]
    np.testing.assert_allclose(np.frombuffer(raw).reshape(-1, 3), expected, rtol=1e-13)


def put_whole(scene: Scene, array: Array) -> None:
    data = encode_tensor(array)
    for offset in range(0, len(data), calls.CHUNK_BYTES):
        chunk = object_pb2.PutRequest(
            upload_id=b"u" * 16,
            digest=tensor_digest(array),
            total=len(data),
            offset=offset,
            data=data[offset : offset + calls.CHUNK_BYTES],
        )
        scene.answer(calls.PUT, chunk)


def get_whole(scene: Scene, digest: bytes) -> bytes:
    data = b""
    while True:
        part = scene.answer(calls.GET, object_pb2.GetRequest(digest=digest, offset=len(data)))
        data += part.data
        if len(data) == part.total:
            return data
