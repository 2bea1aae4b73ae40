"""Sessions: made, forked, opened, operated, read, closed."""

from dataclasses import replace
from typing import Protocol

from chainrule.errors import ErrorCode, GraphError
from chainrule.ir.graph import Graph
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.wire.records import Numerics
from chainrule.wire.reports import numerics_to_proto
from chainrule.wire.tensor import check_digest
from chainrule_server.door.graphs import GraphStore
from chainrule_server.door.request import Body, Request
from chainrule_server.service import messages
from chainrule_server.service.results import Outbox
from chainrule_server.sessions import bodies, types
from chainrule_server.sessions.record import Record
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.telemetry import logger

_PAGE, _MAX_PAGE = 100, 1_000
_LOG = logger("sessions")


class Sessions(Protocol):
    """The registry, as the service sees it."""

    def create(self, caller: types.Caller, spec: types.CreateSpec) -> types.CreateReply: ...
    def fork(self, caller: types.Caller, spec: types.ForkSpec) -> types.CreateReply: ...
    def log(
        self, caller: types.Caller, session_id: bytes, from_seq: int, limit: int
    ) -> tuple[tuple[Record, ...], int, int]: ...
    def open(self, caller: types.Caller, spec: types.OpenSpec) -> types.Head: ...
    def apply(
        self, caller: types.Caller, header: types.OpHeader, body: bodies.Body
    ) -> types.OpReply: ...
    def evaluate(self, caller: types.Caller, spec: types.EvaluateSpec) -> types.EvaluateReply: ...
    def get_state(self, caller: types.Caller, spec: types.StateSpec) -> types.StateReply: ...
    def list(self, caller: types.Caller) -> tuple[types.Head, ...]: ...


class SessionServicer:
    """`chainrule.v1.SessionService`.

    Args:
        sessions: the registry.
        graphs: checked graphs.
        store: objects.
        numerics: the record of this process.
    """

    def __init__(
        self, sessions: Sessions, graphs: GraphStore, store: ObjectStore, numerics: Numerics
    ) -> None:
        self._sessions = sessions
        self._graphs = graphs
        self._store = store
        self._numerics = numerics

    def create(self, request: Request[pb.CreateRequest]) -> pb.CreateResponse:
        """A new session, or the answer to the same Create again."""
        body, tenant = request.body, request.tenant
        if not body.optimizer.HasField("init") or not body.optimizer.HasField("update"):
            raise GraphError(
                "an optimizer without init or update",
                code=ErrorCode.MISSING_FIELD,
                field="optimizer",
                cure="send both graphs, or their digests",
            )
        spec = types.CreateSpec(
            session_id=body.session_id,
            request_id=body.request_id,
            optimizer=types.OptimizerGraphs(
                self._graph(tenant, body.optimizer.init, "optimizer.init"),
                self._graph(tenant, body.optimizer.update, "optimizer.update"),
            ),
            params=messages.leaves_from_proto(body.params, self._store, tenant, "params"),
            graphs=tuple(
                self._graph(tenant, ref, f"graphs[{i}]") for i, ref in enumerate(body.graphs)
            ),
            buffers=messages.leaves_from_proto(body.buffers, self._store, tenant, "buffers"),
            frozen=tuple(body.frozen),
            seed=body.seed,
            microshard_rows=body.microshard_rows,
            durability=messages.choice(
                types.Durability, body.durability, types.Durability.PROCESS, "durability"
            ),
            numerics=messages.choice(
                types.NumericsMode, body.numerics, types.NumericsMode.NATIVE, "numerics"
            ),
            numerics_id=body.numerics_id,
            non_finite=messages.choice(
                types.NonFinitePolicy, body.non_finite, types.NonFinitePolicy.ERROR, "non_finite"
            ),
            name=body.name,
            max_inflight=body.max_inflight,
        )
        reply = self._sessions.create(caller_of(request), spec)
        return pb.CreateResponse(
            head=messages.head_to_proto(reply.head, self._numerics),
            notices=messages.told_to_proto(reply.head.notices),
            replayed=reply.replayed,
        )

    def fork(self, request: Request[pb.ForkRequest]) -> pb.ForkResponse:
        """A session that begins where another one stands or stood."""
        body = request.body
        spec = types.ForkSpec(
            request_id=body.request_id,
            parent_id=body.parent_id,
            child_id=body.child_id,
            at_seq=body.at_seq,
            name=body.name,
        )
        reply = self._sessions.fork(caller_of(request), spec)
        head = messages.head_to_proto(reply.head, self._numerics)
        return pb.ForkResponse(head=head, replayed=reply.replayed)

    def get_log(self, request: Request[pb.GetLogRequest]) -> pb.GetLogResponse:
        """Applied operations as the log keeps them."""
        body = request.body
        limit = min(body.limit or _PAGE, _MAX_PAGE)
        found, first, following = self._sessions.log(
            caller_of(request), body.session_id, body.from_seq, limit
        )
        return pb.GetLogResponse(
            entries=[messages.record_to_proto(record, self._numerics) for record in found],
            first_seq=first,
            next_seq=following,
        )

    def open(self, request: Request[pb.OpenRequest]) -> pb.OpenResponse:
        """Take a session over."""
        body = request.body
        seen = body.last_seen
        spec = types.OpenSpec(
            session_id=body.session_id,
            request_id=body.request_id,
            name=body.name,
            expected_epoch=body.expected_epoch,
            last_seen=types.LastSeen(seen.seq, seen.chain) if body.HasField("last_seen") else None,
        )
        head = self._sessions.open(caller_of(request), spec)
        return pb.OpenResponse(
            head=messages.head_to_proto(head, self._numerics),
            notices=messages.told_to_proto(head.notices),
        )

    def step(self, request: Request[pb.StepRequest]) -> pb.StepResponse:
        """One update."""
        body = request.body
        step = bodies.StepBody(
            graph_digest=body.graph_digest,
            batch=messages.leaves_from_proto(body.batch, self._store, request.tenant, "batch"),
            batch_ref=messages.batch_ref_from_proto(body),
            weight=body.weight if body.HasField("weight") else 1.0,
        )
        return pb.StepResponse(reply=self.apply(request, body.header, step))

    def forward_backward(
        self, request: Request[pb.ForwardBackwardRequest]
    ) -> pb.ForwardBackwardResponse:
        """A gradient, added to what has accumulated."""
        body = request.body
        half = bodies.ForwardBackwardBody(
            graph_digest=body.graph_digest,
            batch=messages.leaves_from_proto(body.batch, self._store, request.tenant, "batch"),
            batch_ref=messages.batch_ref_from_proto(body),
            weight=body.weight if body.HasField("weight") else 1.0,
        )
        return pb.ForwardBackwardResponse(reply=self.apply(request, body.header, half))

    def optim_step(self, request: Request[pb.OptimStepRequest]) -> pb.OptimStepResponse:
        """An update with what has accumulated."""
        reply = self.apply(request, request.body.header, bodies.OptimStepBody())
        return pb.OptimStepResponse(reply=reply)

    def discard_gradients(
        self, request: Request[pb.DiscardGradientsRequest]
    ) -> pb.DiscardGradientsResponse:
        """Forget what has accumulated."""
        reply = self.apply(request, request.body.header, bodies.DiscardGradientsBody())
        return pb.DiscardGradientsResponse(reply=reply)

    def set_state(self, request: Request[pb.SetStateRequest]) -> pb.SetStateResponse:
        """New values for leaves."""
        body = request.body
        leaves = messages.leaves_from_proto(body.tensors, self._store, request.tenant, "tensors")
        reply = self.apply(request, body.header, bodies.SetStateBody(leaves))
        return pb.SetStateResponse(reply=reply)

    def close(self, request: Request[pb.CloseRequest]) -> pb.CloseResponse:
        """The last operation."""
        reply = self.apply(request, request.body.header, bodies.CloseBody())
        return pb.CloseResponse(reply=reply)

    def evaluate(self, request: Request[pb.EvaluateRequest]) -> pb.EvaluateResponse:
        """A graph over the state as it stands."""
        body = request.body
        graph: Graph | bytes | None = None
        if body.HasField("graph"):
            # A digest goes on as it is: the session keeps graphs that this process never saw.
            is_named = body.graph.WhichOneof("program") == "digest"
            graph = (
                check_digest(body.graph.digest, "graph.digest")
                if is_named
                else self._graph(request.tenant, body.graph, "graph")
            )
        spec = types.EvaluateSpec(
            session_id=body.session_id,
            graph=graph,
            batch=messages.leaves_from_proto(body.batch, self._store, request.tenant, "batch"),
            batch_ref=messages.batch_ref_from_proto(body),
            examples=body.examples,
            seed=body.seed,
            after_seq=body.after_seq,
        )
        reply = self._sessions.evaluate(caller_of(request), spec)
        return pb.EvaluateResponse(
            outputs=Outbox(self._store, request.tenant).named(reply.outputs),
            seq=reply.seq,
            step=reply.step,
            finite=reply.finite,
            resources=messages.spent_to_proto(reply.resources),
            notices=messages.told_to_proto(reply.notices),
            numerics=numerics_to_proto(
                replace(self._numerics, microshard_rows=reply.microshard_rows)
            ),
        )

    def get_state(self, request: Request[pb.GetStateRequest]) -> pb.GetStateResponse:
        """Leaves of the state."""
        body = request.body
        spec = types.StateSpec(body.session_id, tuple(body.prefixes), body.after_seq)
        reply = self._sessions.get_state(caller_of(request), spec)
        return pb.GetStateResponse(
            tensors=Outbox(self._store, request.tenant).named(reply.tensors),
            head=messages.head_to_proto(reply.head, self._numerics),
        )

    def list(self, request: Request[pb.ListRequest]) -> pb.ListResponse:
        """The tenant's sessions, by id, a page at a time."""
        body = request.body
        size = min(body.page_size or _PAGE, _MAX_PAGE)
        heads = sorted(self._sessions.list(caller_of(request)), key=lambda head: head.session_id)
        after = [head for head in heads if head.session_id > body.page]
        return pb.ListResponse(
            sessions=[messages.head_to_proto(head, self._numerics) for head in after[:size]],
            next_page=after[size - 1].session_id if len(after) > size else b"",
        )

    def apply(self, request: Request[Body], header: pb.OpHeader, body: bodies.Body) -> pb.OpReply:
        """One operation of a session, exactly once, and its line in the log."""
        reply = self._sessions.apply(caller_of(request), messages.header_from_proto(header), body)
        _LOG.info(
            "commit",
            session=header.session_id.hex(),
            operation=bodies.METHOD_OF[type(body)].name,
            seq=reply.seq,
            step=reply.step,
            epoch=reply.epoch,
            chain=reply.chain.hex()[:16],
            replayed=reply.replayed,
            request_id=request.request_id,
        )
        return messages.reply_to_proto(reply, self._numerics, Outbox(self._store, request.tenant))

    def _graph(self, tenant: str, ref: pb.GraphRef, field: str) -> Graph:
        return messages.graph_from_ref(self._graphs, tenant, ref, field)


def caller_of(request: Request[Body]) -> types.Caller:
    """Who calls a session, and until when."""
    caller = types.Caller(request.tenant, request.deadline)
    request.cancel.subscribe(caller.cancel.set)
    return caller
