"""Headers, replies and heads of sessions, and their messages.

The server's own types (`sessions.types`) carry the same names and are richer; its service converts
between them and messages. Here is what a client has in hand.
"""

from chainrule.proto.v1 import session_pb2 as pb
from chainrule.wire.records import Checkpoint, Head, Header, Receipt, Reply
from chainrule.wire.reports import notices_from_proto, numerics_from_proto, resources_from_proto
from chainrule.wire.tensor import Fetch, tensors_from_proto


def header_to_proto(header: Header) -> pb.OpHeader:
    """The message of a header."""
    return pb.OpHeader(
        session_id=header.session_id,
        epoch=header.epoch,
        seq=header.seq,
        prev=header.prev,
        request_id=header.request_id,
        digest=header.digest,
        client_cursor=header.client_cursor,
        receipts=pb.ReceiptMode.Name(header.receipts),
    )


def header_from_proto(message: pb.OpHeader) -> Header:
    """The header of a message."""
    return Header(
        session_id=message.session_id,
        epoch=message.epoch,
        seq=message.seq,
        prev=message.prev,
        request_id=message.request_id,
        digest=message.digest,
        client_cursor=message.client_cursor,
        receipts=int(message.receipts),
    )


def reply_from_proto(message: pb.OpReply, fetch: Fetch) -> Reply:
    """The answer to an operation.

    Args:
        message: as received.
        fetch: gives large metrics by digest.
    """
    return Reply(
        seq=message.seq,
        step=message.step,
        epoch=message.epoch,
        chain=message.chain,
        replayed=message.replayed,
        loss=message.loss if message.HasField("loss") else None,
        grad_norm=message.grad_norm if message.HasField("grad_norm") else None,
        grad_norms={n.name: n.value for n in message.parameter_grad_norms},
        finite=message.finite,
        metrics=tensors_from_proto(message.metrics, fetch, "reply.metrics"),
        resources=resources_from_proto(message.resources),
        receipts=tuple(Receipt(r.name, r.digest, r.scheme) for r in message.receipts),
        durability_reached=int(message.durability_reached),
        durable_seq=message.durable_seq,
        numerics_id=message.numerics_id,
        notices=notices_from_proto(message.notices),
        numerics=numerics_from_proto(message.numerics),
    )


def checkpoint_from_proto(message: pb.Checkpoint) -> Checkpoint:
    """A checkpoint as the server tells of it."""
    return Checkpoint(
        digest=message.digest,
        name=message.name,
        session_id=message.session_id,
        seq=message.seq,
        step=message.step,
        client_cursor=message.client_cursor,
        nbytes=message.nbytes,
        numerics_id=message.numerics_id,
        created_at=message.created_at,
    )


def head_from_proto(message: pb.SessionHead) -> Head:
    """A session as it stands."""
    return Head(
        session_id=message.session_id,
        name=message.name,
        epoch=message.epoch,
        next_seq=message.next_seq,
        step=message.step,
        chain=message.chain,
        client_cursor=message.client_cursor,
        state_digest=message.state_digest,
        max_inflight=message.max_inflight,
        durability=int(message.durability),
        numerics_id=message.numerics_id,
        durable_seq=message.durable_seq,
        graph_digests=tuple(message.graph_digests),
        closed=message.closed,
        non_finite=int(message.non_finite),
        seed=message.seed,
        microshard_rows=message.microshard_rows,
        frozen=tuple(message.frozen),
        numerics=numerics_from_proto(message.numerics),
        created_at=message.created_at,
    )
