"""Checkpoints: a session's state under a name, and back."""

import time
from collections.abc import Iterator

from chainrule.calls import LIST_CHECKPOINTS, RESTORE, SAVE
from chainrule.conversation import Conversation
from chainrule.errors import NotFound
from chainrule.ir.operations import restore_digest, save_digest
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.results import CheckpointInfo
from chainrule.transport import Transport
from chainrule.wire.records import Checkpoint
from chainrule.wire.sessions import checkpoint_from_proto


def save(talk: Conversation, name: str, timeout_s: float | None) -> CheckpointInfo:
    """The state after all operations so far, kept under a name; see `Session.save`."""
    deadline = talk.deadline(timeout_s)
    cursor = talk.cursor()

    def decode(data: bytes, chain: bytes) -> Checkpoint:
        answer = SAVE.decode_reply(data)
        talk.checked(answer.reply, chain)
        return checkpoint_from_proto(answer.checkpoint)

    answer = talk.send(
        SAVE, pb.SaveRequest(name=name), save_digest(name, cursor), decode, cursor=cursor
    )
    return checkpoint_info(talk.pipeline.wait(answer, deadline - time.monotonic()))


def restore(
    talk: Conversation, checkpoint: Checkpoint, allow_drift: bool, timeout_s: float | None
) -> None:
    """Back to a checkpoint, the place in the data too; see `Session.restore`."""
    deadline = talk.deadline(timeout_s)

    def decode(data: bytes, chain: bytes) -> int:
        return talk.checked(RESTORE.decode_reply(data).reply, chain).step

    answer = talk.send(
        RESTORE,
        pb.RestoreRequest(checkpoint_digest=checkpoint.digest, allow_drift=allow_drift),
        restore_digest(checkpoint.digest, allow_drift, checkpoint.client_cursor),
        decode,
        cursor=checkpoint.client_cursor,
    )
    talk.step = talk.pipeline.wait(answer, deadline - time.monotonic())
    talk.go_to(checkpoint.client_cursor)


def find_checkpoint(transport: Transport, name_or_digest: str, timeout_s: float) -> Checkpoint:
    """The checkpoint by its name, or by its digest in hex.

    Raises:
        NotFound: there is none.
    """
    for found in list_checkpoints(transport, timeout_s=timeout_s):
        if name_or_digest in (found.name, found.digest.hex()):
            return found
    raise NotFound(
        f"no checkpoint {name_or_digest[:64]!r}",
        cure="client.checkpoints() lists those that there are",
    )


def list_checkpoints(
    transport: Transport, session_id: bytes = b"", *, timeout_s: float | None
) -> Iterator[Checkpoint]:
    """All checkpoints that this token may see, or those of one session, by name."""
    page = ""
    while True:
        request = pb.ListCheckpointsRequest(session_id=session_id, page=page)
        reply = transport.call(LIST_CHECKPOINTS, request, timeout_s)
        yield from map(checkpoint_from_proto, reply.checkpoints)
        page = reply.next_page
        if not page:
            return


def checkpoint_info(found: Checkpoint) -> CheckpointInfo:
    """What a user sees of a checkpoint."""
    return CheckpointInfo(
        found.name,
        found.digest.hex(),
        found.session_id.hex(),
        found.step,
        found.nbytes,
        found.created_at,
    )
