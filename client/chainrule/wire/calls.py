"""What a Compute, Estimate or Explain asks for, and its message."""

from collections.abc import Iterable

from chainrule.errors import ErrorCode, GraphError
from chainrule.ir.avals import Aval
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.wire.records import Computation, NodeCost, Wish
from chainrule.wire.tensor import Fetch, avals_from_proto, tensors_from_proto, tensors_to_proto


def wishes_to_proto(wishes: Iterable[Wish]) -> list[pb.ComputeWish]:
    """Messages of wishes, directions inside."""
    return [
        pb.ComputeWish(
            computation=f"COMPUTATION_{w.computation.name}",
            wrt=w.wrt,
            outs=w.outs,
            directions=tensors_to_proto(w.directions),
            lanes=w.lanes,
        )
        for w in wishes
    ]


def wishes_from_proto(
    messages: Iterable[pb.ComputeWish], fetch: Fetch, field: str = "wishes"
) -> tuple[Wish, ...]:
    """Wishes of messages.

    Raises:
        GraphError: none at all (MISSING_FIELD), or an unknown computation (BAD_FIELD).
    """
    return tuple(
        Wish(
            _computation(m, f"{field}[{i}]"),
            tuple(m.wrt),
            tuple(m.outs),
            tensors_from_proto(m.directions, fetch, f"{field}[{i}].directions"),
            m.lanes,
        )
        for i, m in enumerate(messages)
    )


def wish_avals_from_proto(
    messages: Iterable[pb.ComputeWish], field: str = "wishes"
) -> tuple[tuple[Wish, dict[str, Aval]], ...]:
    """Wishes without elements, each with the avals of its directions, for estimates."""
    return tuple(
        (
            Wish(_computation(m, f"{field}[{i}]"), tuple(m.wrt), tuple(m.outs), lanes=m.lanes),
            avals_from_proto(m.directions, f"{field}[{i}].directions"),
        )
        for i, m in enumerate(messages)
    )


def node_costs_to_proto(costs: Iterable[NodeCost]) -> list[pb.NodeCost]:
    """Messages of the shares of an estimate."""
    return [
        pb.NodeCost(
            function=c.function,
            node=c.node,
            op=c.op,
            label=c.label,
            source_line=c.source_line,
            flops=c.flops,
            bytes=c.nbytes,
        )
        for c in costs
    ]


def node_costs_from_proto(messages: Iterable[pb.NodeCost]) -> tuple[NodeCost, ...]:
    """The shares of an estimate."""
    return tuple(
        NodeCost(m.function, m.node, m.op, m.label, m.source_line, m.flops, m.bytes)
        for m in messages
    )


def _computation(message: pb.ComputeWish, field: str) -> Computation:
    try:
        return Computation(message.computation)
    except ValueError:
        raise GraphError(
            f"computation number {message.computation}",
            code=ErrorCode.BAD_FIELD,
            field=f"{field}.computation",
            cure="name one of " + ", ".join(f"{c.value} ({c.name.lower()})" for c in Computation),
        ) from None
