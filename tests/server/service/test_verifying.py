"""Verify over real gRPC."""

import numpy as np
import pytest

from chainrule import calls
from chainrule.ir import canonical
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.tensor import tensors_to_proto
from support.sample_graphs import article, mean_square
from support.serving import Scene


def request(**fields: object) -> pb.VerifyRequest:
    graph = article()
    return pb.VerifyRequest(
        graph=graph_to_proto(graph),
        debug=debug_to_proto(graph),
        feeds=tensors_to_proto({"args/0": np.array(0.7)}),
        **fields,  # type: ignore[arg-type]
    )


def test_a_derivative_is_verified_with_its_nodes(scene: Scene) -> None:
    reply = scene.answer(calls.VERIFY, request())
    assert reply.ok
    assert reply.value_finite
    assert [leaf.name for leaf in reply.leaves] == ["args/0"]
    assert reply.leaves[0].finite
    assert reply.leaves[0].aval == "float64[]"
    assert reply.leaves[0].check.verdict == pb.VERDICT_AGREES
    assert reply.leaves[0].check.error < 1e-9
    assert "Sin" in {node.op for node in reply.nodes}
    assert any(node.source_line.startswith("article.py:") for node in reply.nodes)
    assert reply.evaluations == 20
    assert reply.resources.flops > 0
    assert reply.graph_digest == canonical.digest(article())


def test_the_seed_chooses_the_directions(scene: Scene) -> None:
    first, same, other = (
        scene.answer(calls.VERIFY, request(seed=seed)).leaves[0].check.derivative
        for seed in (1, 1, 2)
    )
    assert first == same != other


def test_a_batch_is_verified_as_it_runs(scene: Scene) -> None:
    message = pb.VerifyRequest(
        graph=graph_to_proto(mean_square()),
        feeds=tensors_to_proto({"args/0": np.ones(3), "args/1": np.ones((100, 3))}),
        wrt=["args/0"],
    )
    assert scene.answer(calls.VERIFY, message).ok


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tolerance": -1.0}, "BAD_FIELD"),
        ({"tolerance": float("nan")}, "BAD_FIELD"),
        ({"wrt": ["nowhere"]}, "BAD_REF"),
        ({"outs": ["nowhere"]}, "BAD_REF"),
        ({"limits": pb.ComputeLimits(max_flops=20.0)}, "COST_FLOPS"),
        ({"limits": pb.ComputeLimits(max_bytes=1)}, "COST_BYTES"),
    ],
)
def test_what_can_not_be_verified(scene: Scene, fields: dict[str, object], reason: str) -> None:
    assert scene.refusal(calls.VERIFY, request(**fields)).reason == reason
