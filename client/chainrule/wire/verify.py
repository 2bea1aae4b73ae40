"""What Verify found, and its messages."""

from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.wire.records import Check, Verdict, VerifiedLeaf, VerifiedNode


def check_to_proto(check: Check) -> pb.VerifyCheck:
    """The message of a check."""
    return pb.VerifyCheck(
        derivative=check.derivative,
        estimate=check.estimate,
        uncertainty=check.uncertainty,
        error=check.error,
        verdict=f"VERDICT_{check.verdict.name}",
    )


def check_from_proto(message: pb.VerifyCheck) -> Check:
    """The check of a message; a verdict that this version doesn't know is no agreement."""
    known = {verdict.value: verdict for verdict in Verdict}
    return Check(
        message.derivative,
        message.estimate,
        message.uncertainty,
        message.error,
        known.get(message.verdict, Verdict.UNCERTAIN),
    )


def leaf_to_proto(leaf: VerifiedLeaf) -> pb.VerifyLeaf:
    """The message of an input."""
    return pb.VerifyLeaf(
        name=leaf.name, aval=leaf.aval, finite=leaf.finite, check=check_to_proto(leaf.check)
    )


def leaf_from_proto(message: pb.VerifyLeaf) -> VerifiedLeaf:
    """The input of a message."""
    return VerifiedLeaf(message.name, message.aval, message.finite, check_from_proto(message.check))


def node_to_proto(node: VerifiedNode) -> pb.VerifyNode:
    """The message of a node."""
    return pb.VerifyNode(
        node=node.node,
        op=node.op,
        label=node.label,
        source_line=node.source_line,
        forward=check_to_proto(node.forward),
        adjoint=check_to_proto(node.adjoint) if node.adjoint else None,
    )


def node_from_proto(message: pb.VerifyNode) -> VerifiedNode:
    """The node of a message."""
    return VerifiedNode(
        message.node,
        message.op,
        message.label,
        message.source_line,
        check_from_proto(message.forward),
        check_from_proto(message.adjoint) if message.HasField("adjoint") else None,
    )
