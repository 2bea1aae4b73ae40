"""Digests of what came in: the domain's side of `chainrule.ir.operations`."""

from collections.abc import Sequence

from chainrule.errors import ErrorCode, GraphError, LimitExceeded
from chainrule.ir import canonical
from chainrule.ir.operations import (
    MAX_CURSOR_BYTES,
    Method,
    bare_digest,
    named,
    operation_digest,
    restore_digest,
    save_digest,
    set_state_digest,
    step_digest,
)
from chainrule.ir.tensors import tensor_digest
from chainrule_server.sessions.bodies import (
    METHOD_OF,
    Body,
    ForwardBackwardBody,
    RestoreBody,
    SaveBody,
    SetStateBody,
    StepBody,
)
from chainrule_server.sessions.types import CreateSpec, NamedTensor, ObjectRef, OpHeader


def body_digest(body: Body, cursor: bytes) -> bytes:
    """Digest of an operation; reads every inline tensor once."""
    method = METHOD_OF[type(body)]
    if isinstance(body, StepBody | ForwardBackwardBody):
        return step_digest(
            body.graph_digest,
            _digests(body.batch),
            dataset=body.batch_ref.dataset if body.batch_ref else None,
            rows=body.batch_ref.rows if body.batch_ref else (),
            weight=body.weight,
            cursor=cursor,
            method=method,
        )
    if isinstance(body, SetStateBody):
        return set_state_digest(_digests(body.tensors), cursor)
    if isinstance(body, SaveBody):
        return save_digest(body.name, cursor)
    if isinstance(body, RestoreBody):
        return restore_digest(body.checkpoint, body.allow_drift, cursor)
    return bare_digest(method, cursor)


def create_digest(spec: CreateSpec) -> bytes:
    """Digest of a Create: everything that decides what the session is, in the order of the protocol."""
    return operation_digest(
        Method.CREATE,
        b"",
        (
            tuple(canonical.digest(graph) for graph in spec.graphs),
            canonical.digest(spec.optimizer.init),
            canonical.digest(spec.optimizer.update),
            named(_digests(spec.params)),
            named(_digests(spec.buffers)),
            spec.frozen,
            spec.seed,
            spec.microshard_rows,
            spec.durability,
            spec.numerics,
            spec.numerics_id,
            spec.non_finite,
            spec.name,
            spec.max_inflight,
        ),
    )


def check_header(header: OpHeader, body: Body) -> None:
    """The header's fields, and that its digest is the one of this body.

    Raises:
        LimitExceeded: the cursor is too long.
        GraphError: a field of the wrong length, seq 0, or another digest (BAD_FIELD).
    """
    if len(header.client_cursor) > MAX_CURSOR_BYTES:
        raise LimitExceeded(
            f"a cursor of {len(header.client_cursor)} bytes is above {MAX_CURSOR_BYTES}",
            field="header.client_cursor",
            cure="keep what is large on the client and a reference in the cursor",
            limit=MAX_CURSOR_BYTES,
            value=len(header.client_cursor),
        )
    for name, n in (("session_id", 16), ("prev", 32), ("request_id", 16), ("digest", 32)):
        check_bytes(f"header.{name}", getattr(header, name), n)
    if header.seq < 1:
        raise _bad("header.seq", "seq 0", "number operations from 1")
    if body_digest(body, header.client_cursor) != header.digest:
        raise _bad(
            "header.digest",
            "the digest isn't that of method, cursor and body",
            "compute it as docs/sessions.md says",
        )


def check_bytes(field: str, value: bytes, n: int) -> None:
    """That an id or digest has its length.

    Raises:
        GraphError: it hasn't (BAD_FIELD).
    """
    if len(value) != n:
        raise _bad(field, f"{len(value)} bytes where {n} belong", f"send {n} bytes")


def _digests(tensors: Sequence[NamedTensor]) -> list[tuple[str, bytes]]:
    return [
        (t.name, t.value.digest if isinstance(t.value, ObjectRef) else tensor_digest(t.value))
        for t in tensors
    ]


def _bad(field: str, fact: str, cure: str) -> GraphError:
    return GraphError(f"{field}: {fact}", code=ErrorCode.BAD_FIELD, field=field, cure=cure)
