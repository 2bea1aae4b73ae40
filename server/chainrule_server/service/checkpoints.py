"""Save, Restore, ListCheckpoints."""

from typing import Protocol

from chainrule.errors import ErrorCode, ServerFault
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.wire.tensor import check_digest
from chainrule_server.door.request import Request
from chainrule_server.service.sessions import SessionServicer, caller_of
from chainrule_server.sessions import bodies, types
from chainrule_server.sessions.checkpoints import Checkpoint

_PAGE, _MAX_PAGE = 100, 1_000


class Shelf(Protocol):
    """The registry's checkpoints, as the service sees them."""

    def checkpoints(
        self, caller: types.Caller, session_id: bytes = b"", name: str = ""
    ) -> tuple[Checkpoint, ...]: ...
    def checkpoint(self, caller: types.Caller, name: str, digest: bytes) -> Checkpoint: ...


class CheckpointServicer:
    """The part of `chainrule.v1.SessionService` that is about checkpoints.

    Args:
        sessions: applies operations.
        shelf: the registry.
    """

    def __init__(self, sessions: SessionServicer, shelf: Shelf) -> None:
        self._sessions = sessions
        self._shelf = shelf

    def save(self, request: Request[pb.SaveRequest]) -> pb.SaveResponse:
        """Keep the state under a name."""
        body = request.body
        reply = self._sessions.apply(request, body.header, bodies.SaveBody(body.name))
        found = self._shelf.checkpoint(caller_of(request), body.name, _digest(reply))
        return pb.SaveResponse(reply=reply, checkpoint=checkpoint_to_proto(found))

    def restore(self, request: Request[pb.RestoreRequest]) -> pb.RestoreResponse:
        """Take the state of a checkpoint."""
        body = request.body
        digest = check_digest(body.checkpoint_digest, "checkpoint_digest")
        operation = bodies.RestoreBody(digest, body.allow_drift)
        reply = self._sessions.apply(request, body.header, operation)
        found = self._shelf.checkpoint(caller_of(request), "", _digest(reply))
        return pb.RestoreResponse(reply=reply, checkpoint=checkpoint_to_proto(found))

    def list_checkpoints(
        self, request: Request[pb.ListCheckpointsRequest]
    ) -> pb.ListCheckpointsResponse:
        """The tenant's checkpoints by name, a page at a time."""
        body = request.body
        size = min(body.page_size or _PAGE, _MAX_PAGE)
        found = self._shelf.checkpoints(caller_of(request), body.session_id, body.name)
        after = [checkpoint for checkpoint in found if checkpoint.name > body.page]
        return pb.ListCheckpointsResponse(
            checkpoints=map(checkpoint_to_proto, after[:size]),
            next_page=after[size - 1].name if len(after) > size else "",
        )


def checkpoint_to_proto(checkpoint: Checkpoint) -> pb.Checkpoint:
    """The message of a checkpoint."""
    return pb.Checkpoint(
        digest=checkpoint.digest,
        name=checkpoint.name,
        session_id=checkpoint.session_id,
        seq=checkpoint.seq,
        step=checkpoint.step,
        client_cursor=checkpoint.cursor,
        nbytes=checkpoint.nbytes,
        numerics_id=checkpoint.numerics_id,
        created_at=checkpoint.created_at,
    )


def _digest(reply: pb.OpReply) -> bytes:
    for receipt in reply.receipts:
        if receipt.name == "checkpoint":
            return receipt.digest
    raise ServerFault("the reply names no checkpoint", code=ErrorCode.INTERNAL)
