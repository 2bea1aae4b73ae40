"""Messages of sessions to the domain's own types, and back."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from enum import IntEnum
from typing import TypeVar

from chainrule.errors import ErrorCode, GraphError
from chainrule.ir.graph import Graph
from chainrule.proto.v1 import report_pb2, tensor_pb2
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.wire.records import Notice, Numerics, Resources
from chainrule.wire.reports import notices_to_proto, numerics_to_proto, resources_to_proto
from chainrule.wire.tensor import Array, check_digest, tensors_from_proto
from chainrule_server.door.graphs import GraphStore
from chainrule_server.service.results import Outbox
from chainrule_server.sessions import replies, types
from chainrule_server.sessions.record import Record
from chainrule_server.storage.objects import ObjectStore

Choice = TypeVar("Choice", bound=IntEnum)


def header_from_proto(message: pb.OpHeader) -> types.OpHeader:
    """Identity and order of an operation; what they may be is the session's affair."""
    return types.OpHeader(
        session_id=message.session_id,
        epoch=message.epoch,
        seq=message.seq,
        prev=message.prev,
        request_id=message.request_id,
        digest=message.digest,
        client_cursor=message.client_cursor,
        receipts=choice(
            types.ReceiptMode, message.receipts, types.ReceiptMode.NONE, "header.receipts"
        ),
    )


def leaves_from_proto(
    messages: Iterable[tensor_pb2.NamedTensor], store: ObjectStore, tenant: str, field: str
) -> tuple[types.NamedTensor, ...]:
    """Named arrays; those in the store stay there, named by digest."""
    out: list[types.NamedTensor] = []
    inline: list[tensor_pb2.NamedTensor] = []
    for i, message in enumerate(messages):
        if message.tensor.WhichOneof("data") == "object_digest":
            digest = check_digest(message.tensor.object_digest, f"{field}[{i}].tensor")
            out.append(types.NamedTensor(message.name, types.ObjectRef(digest)))
        else:
            inline.append(message)
            out.append(types.NamedTensor(message.name, types.ObjectRef(b"")))

    def fetch(digest: bytes) -> Array:
        return store.array(tenant, digest)

    arrays = tensors_from_proto(inline, fetch, field)
    return tuple(
        types.NamedTensor(leaf.name, arrays[leaf.name])
        if isinstance(leaf.value, types.ObjectRef) and not leaf.value.digest
        else leaf
        for leaf in out
    )


def batch_ref_from_proto(
    message: pb.StepRequest | pb.ForwardBackwardRequest | pb.EvaluateRequest,
) -> types.BatchRef | None:
    """Rows of a data set, where the request names some."""
    if not message.HasField("batch_ref"):
        return None
    ref = message.batch_ref
    return types.BatchRef(check_digest(ref.dataset_digest, "batch_ref"), tuple(ref.rows))


def graph_from_ref(graphs: GraphStore, tenant: str, ref: pb.GraphRef, field: str) -> Graph:
    """The checked graph that a reference sends or names."""
    sent = ref.graph if ref.WhichOneof("program") == "graph" else None
    return graphs.of(tenant, sent, ref.digest, ref.debug, field).graph


def choice(kind: type[Choice], number: int, default: Choice, field: str) -> Choice:
    """The value of a number on the wire; 0 is the default.

    Raises:
        GraphError: unknown (BAD_FIELD).
    """
    if number == 0:
        return default
    try:
        return kind(number)
    except ValueError:
        raise GraphError(
            f"number {number} of {kind.__name__}",
            code=ErrorCode.BAD_FIELD,
            field=field,
            cure="give one of " + ", ".join(f"{c.value} ({c.name.lower()})" for c in kind),
        ) from None


def head_to_proto(head: types.Head, numerics: Numerics) -> pb.SessionHead:
    """A session as it stands."""
    return pb.SessionHead(
        session_id=head.session_id,
        name=head.name,
        epoch=head.epoch,
        next_seq=head.next_seq,
        step=head.step,
        chain=head.chain,
        client_cursor=head.client_cursor,
        state_digest=head.state_digest,
        max_inflight=head.max_inflight,
        durability=f"DURABILITY_{head.durability.name}",
        numerics_id=head.numerics_id,
        durable_seq=head.durable_seq,
        graph_digests=head.graph_digests,
        closed=head.closed,
        non_finite=f"NON_FINITE_POLICY_{head.non_finite.name}",
        seed=head.seed,
        microshard_rows=head.microshard_rows,
        frozen=head.frozen,
        numerics=numerics_to_proto(numerics),
        created_at=head.created_at,
    )


def record_to_proto(record: Record, numerics: Numerics) -> pb.LogEntry:
    """An operation of the log. Its metrics are left out: a page of them might not fit a message."""
    reply = replace(replies.decode(record.reply), metrics=(), replayed=False)
    words = record.method.name.split("_")
    return pb.LogEntry(
        seq=record.seq,
        method="".join(word.capitalize() for word in words),
        epoch=record.epoch,
        request_id=record.request_id,
        digest=record.digest,
        client_cursor=record.cursor,
        reply=reply_to_proto(reply, numerics, None),
    )


def reply_to_proto(reply: types.OpReply, numerics: Numerics, outbox: Outbox | None) -> pb.OpReply:
    """The answer to an operation; metrics go out through the outbox, where there are any."""
    return pb.OpReply(
        seq=reply.seq,
        step=reply.step,
        epoch=reply.epoch,
        chain=reply.chain,
        replayed=reply.replayed,
        loss=reply.loss,
        grad_norm=reply.grad_norm,
        parameter_grad_norms=[pb.NamedNumber(name=n, value=v) for n, v in reply.grad_norms],
        finite=reply.finite,
        metrics=outbox.named(reply.metrics) if outbox is not None else (),
        resources=spent_to_proto(reply.resources),
        receipts=[
            pb.Receipt(name=r.name, digest=r.digest, scheme=r.scheme) for r in reply.receipts
        ],
        durability_reached=f"DURABILITY_{reply.durability_reached.name}",
        durable_seq=reply.durable_seq,
        numerics_id=reply.numerics_id,
        notices=told_to_proto(reply.notices),
        numerics=numerics_to_proto(replace(numerics, microshard_rows=reply.microshard_rows)),
    )


def spent_to_proto(resources: types.Resources) -> report_pb2.Resources:
    """What an operation took."""
    return resources_to_proto(Resources(**asdict(resources)))


def told_to_proto(notices: Iterable[types.Notice]) -> list[report_pb2.Notice]:
    """What a session has to say."""
    return notices_to_proto(Notice(**asdict(notice)) for notice in notices)
