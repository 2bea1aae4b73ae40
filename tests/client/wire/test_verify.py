"""What Verify found goes over the wire and comes back the same."""

import pytest

from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.wire.records import Check, Verdict, VerifiedLeaf, VerifiedNode
from chainrule.wire.verify import (
    check_from_proto,
    check_to_proto,
    leaf_from_proto,
    leaf_to_proto,
    node_from_proto,
    node_to_proto,
)

CHECK = Check(1.0, 1.5, 0.25, 1 / 3, Verdict.DIFFERS)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_check_round_trips(verdict: Verdict) -> None:
    check = Check(1.0, float("inf"), 0.0, 2.0, verdict)
    assert check_from_proto(check_to_proto(check)) == check


@pytest.mark.parametrize("adjoint", [None, CHECK])
def test_leaves_and_nodes_round_trip(adjoint: Check | None) -> None:
    leaf = VerifiedLeaf("args/0", "float64[3]", True, CHECK)
    assert leaf_from_proto(leaf_to_proto(leaf)) == leaf
    node = VerifiedNode(7, "Sin", "sin", "model.py:3", CHECK, adjoint)
    assert node_from_proto(node_to_proto(node)) == node


def test_a_verdict_of_a_later_version_is_no_agreement() -> None:
    assert check_from_proto(pb.VerifyCheck(verdict=99)).verdict is Verdict.UNCERTAIN  # type: ignore[arg-type]
