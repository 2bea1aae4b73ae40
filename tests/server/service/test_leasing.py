"""Compute with a lease, Derive and Release over real gRPC."""

import numpy as np
import pytest

from chainrule import calls
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.wire.calls import wishes_to_proto
from chainrule.wire.graph import graph_to_proto
from chainrule.wire.records import Array, Computation, Wish
from chainrule.wire.tensor import tensors_from_proto, tensors_to_proto
from support.sample_graphs import mean_square
from support.serving import Scene

W = np.array([1.0, 2.0, 3.0])
ROWS = np.random.default_rng(0).random((40, 3))


def nowhere(digest: bytes) -> Array:
    raise AssertionError(digest.hex())


def leased(scene: Scene, **wish: object) -> pb.ComputeResponse:
    return scene.answer(calls.COMPUTE, request(**wish))


def request(**wish: object) -> pb.ComputeRequest:
    return pb.ComputeRequest(
        graph=graph_to_proto(mean_square()),
        feeds=tensors_to_proto({"args/0": W, "args/1": ROWS}),
        wishes=wishes_to_proto([Wish(Computation.VALUE)]),
        lease=pb.LeaseWish(**wish),  # type: ignore[arg-type]
    )


def derivative(lease: pb.Lease, *wishes: Wish) -> pb.DeriveRequest:
    return pb.DeriveRequest(lease_id=lease.id, wishes=wishes_to_proto(wishes))


ONE = Wish(Computation.VJP, directions={"out": np.array(1.0)})


def test_a_lease_says_what_it_is_and_its_time_begins_anew(scene: Scene) -> None:
    opened = leased(scene, ttl_ms=60_000, wrt=["args/0"])
    assert len(opened.lease.id) == 16
    assert opened.lease.ttl_ms == 60_000
    assert opened.lease.bytes > 0
    reply = scene.answer(calls.DERIVE, derivative(opened.lease, ONE))
    (gradient,) = tensors_from_proto(reply.results[0].tensors, nowhere, "results").values()
    np.testing.assert_allclose(gradient, 2 * (ROWS**2).sum(0) * W / 40, rtol=1e-12)
    assert reply.lease == opened.lease
    assert reply.finite
    assert reply.resources.flops > 0
    assert scene.answer(calls.RELEASE, pb.ReleaseRequest(lease_id=opened.lease.id)).released


def test_its_bytes_are_held_until_then(scene: Scene) -> None:
    before = scene.app.parts.door.running.used
    opened = leased(scene)
    assert scene.app.parts.door.running.used == before + opened.lease.bytes
    scene.answer(calls.RELEASE, pb.ReleaseRequest(lease_id=opened.lease.id))
    assert scene.app.parts.door.running.used == before


def test_where_the_caller_says_no_time_the_server_does(scene: Scene) -> None:
    assert leased(scene).lease.ttl_ms == 300_000


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ([], "MISSING_FIELD"),
        ([ONE, ONE], "BAD_FIELD"),
        ([Wish(Computation.HVP, directions={"out": np.array(1.0)})], "BAD_FIELD"),
        ([Wish(Computation.VJP, ("args/0",), directions=ONE.directions)], "BAD_FIELD"),
        ([Wish(Computation.VJP)], "MISSING_FIELD"),
        ([Wish(Computation.VJP, directions={"nowhere": W})], "BAD_REF"),
        ([Wish(Computation.VJP, directions={"out": W})], "SHAPE_MISMATCH"),
        ([Wish(Computation.VJP, directions={"out": W}, lanes=2)], "SHAPE_MISMATCH"),
        ([Wish(Computation.VJP, directions={"out": W}, lanes=10**9)], "TOO_LARGE"),
    ],
)
def test_a_derivative_that_does_not_fit_is_refused(
    scene: Scene, wishes: list[Wish], reason: str
) -> None:
    opened = leased(scene)
    refusal = scene.refusal(calls.DERIVE, derivative(opened.lease, *wishes))
    assert refusal.reason == reason
    assert refusal.error is not None
    assert refusal.error.cure


def test_a_lease_keeps_the_value_s_forward_alone(scene: Scene) -> None:
    message = request()
    message.wishes.extend(wishes_to_proto([Wish(Computation.GRAD, ("args/0",))]))
    assert scene.refusal(calls.COMPUTE, message).reason == "BAD_FIELD"


def test_an_unknown_lease_is_not_found(scene: Scene) -> None:
    nobody = pb.Lease(id=b"l" * 16)
    assert scene.refusal(calls.DERIVE, derivative(nobody, ONE)).reason == "NOT_FOUND"
    assert not scene.answer(calls.RELEASE, pb.ReleaseRequest(lease_id=nobody.id)).released
