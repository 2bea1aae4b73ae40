"""Forks of a session, and its log."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

from chainrule.calls import FORK, GET_LOG
from chainrule.conversation import Conversation
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.results import LogEntry
from chainrule.wire.records import Head
from chainrule.wire.sessions import head_from_proto


def fork(talk: Conversation, name: str | None, at_seq: int, timeout_s: float | None) -> Head:
    """The head of a session that begins where this one stands, or stood; see `Session.fork`."""
    deadline = talk.deadline(timeout_s)
    request = pb.ForkRequest(
        request_id=secrets.token_bytes(16),
        parent_id=talk.head.session_id,
        at_seq=at_seq,
        child_id=secrets.token_bytes(16),
        name=name or "",
    )
    reply = talk.transport.call(FORK, request, deadline - time.monotonic())
    head = head_from_proto(reply.head)
    # The child knows the graphs that its parent's cursor hands down, and stands at its place.
    return head if head.client_cursor else replace(head, client_cursor=talk.cursor())


def read_log(talk: Conversation, from_seq: int, timeout_s: float | None) -> Iterator[LogEntry]:
    """Applied operations, page by page."""
    deadline = talk.deadline(timeout_s)
    while True:
        request = pb.GetLogRequest(session_id=talk.head.session_id, from_seq=from_seq)
        reply = talk.transport.call(GET_LOG, request, deadline - time.monotonic())
        yield from map(_entry, reply.entries)
        if not reply.entries or reply.entries[-1].seq + 1 >= reply.next_seq:
            return
        from_seq = reply.entries[-1].seq + 1


def _entry(message: pb.LogEntry) -> LogEntry:
    reply = message.reply
    return LogEntry(
        message.seq,
        message.method,
        message.epoch,
        reply.step,
        reply.loss if reply.HasField("loss") else None,
        reply.grad_norm if reply.HasField("grad_norm") else None,
        reply.chain.hex(),
        message.digest.hex(),
    )
