"""Stateless calls: what is asked of a prepared function, its messages, and the answers."""

import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from google.protobuf.message import Message

from chainrule.calls import COMPUTE, DERIVE, ESTIMATE, EXPLAIN, REGISTER, RELEASE, VERIFY, Call
from chainrule.errors import ChainruleError, ErrorCode, UnsplitWarning
from chainrule.explanation import ExplainedEdge, ExplainedNode, Explanation
from chainrule.ir.tensors import aval_of
from chainrule.objects import Objects
from chainrule.options import Options
from chainrule.prepared import Prepared
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.results import Estimate
from chainrule.tracing import Graph
from chainrule.transport import Transport
from chainrule.verification import VerifyReport
from chainrule.wire.calls import node_costs_from_proto, wishes_to_proto
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.records import Computation, Notice, Numerics, Resources, Wish
from chainrule.wire.reports import notices_from_proto, numerics_from_proto, resources_from_proto
from chainrule.wire.tensor import aval_to_proto, tensor_from_proto, tensors_from_proto
from chainrule.wire.verify import check_from_proto, leaf_from_proto, node_from_proto

Array = np.ndarray[Any, np.dtype[Any]]
Reply = TypeVar("Reply", bound=Message)

CAPTURE = "capture/"
_SPLIT_NOTICES = ("COUPLED", "UNSPLIT")
# A server that lost an object between upload and use is given it again, so many times.
_MENDS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What Compute or Derive gave: one mapping from leaf names to arrays a wish, and what it took."""

    results: tuple[dict[str, Array], ...]
    stats: Resources
    notices: tuple[Notice, ...]
    numerics: Numerics
    finite: bool
    grad_norm: float | None
    lease: pb.Lease | None = None


class Gradients:
    """`GradientService`, as a client uses it. Thread-safe."""

    def __init__(self, transport: Transport, objects: Objects) -> None:
        self._transport = transport
        self._objects = objects

    def register(self, graph: Graph, timeout_s: float) -> bytes:
        """The digest by which the server knows the graph from now on."""
        request = pb.RegisterRequest(
            graph=graph_to_proto(graph.graph), debug=debug_to_proto(graph.graph)
        )
        return self._transport.call(REGISTER, request, timeout_s).digest

    def upload_captures(self, graph: Graph, deadline: float) -> None:
        """Puts the arrays that the function closed over where the server finds them."""
        captures = {bytes.fromhex(n.removeprefix(CAPTURE)): a for n, a in graph.captures.items()}
        self._objects.put_all(captures, deadline)

    def compute(
        self,
        prepared: Prepared,
        wishes: Sequence[Wish],
        options: Options,
        digest: bytes | None = None,
        lease: pb.LeaseWish | None = None,
    ) -> Answer:
        """Values and derivatives.

        Args:
            prepared: the function at its arguments.
            wishes: what is asked for, answered together.
            options: as the caller gave them.
            digest: names a registered graph instead of sending it.
            lease: asks the server to keep what derivatives at this point need.
        """
        deadline = time.monotonic() + options.timeout_s
        self.upload_captures(prepared.graph, deadline)
        request = pb.ComputeRequest(
            feeds=self._objects.to_proto(prepared.feeds, deadline=deadline),
            wishes=self._wishes(wishes, deadline),
            limits=limits_of(options),
            lease=lease,
            examples=prepared.examples,
            seed=options.seed,
        )
        _name_graph(request, prepared.graph, digest)
        seeds = [a for wish in wishes for a in wish.directions.values()]
        reply = self._ask(
            COMPUTE, request, prepared.graph, (*prepared.feeds.values(), *seeds), deadline
        )
        notices = (*_traced(prepared.graph), *notices_from_proto(reply.notices))
        # This function, its caller in the client, and the caller of that: whom it concerns.
        warn_unsplit(notices, stacklevel=4)
        norm = reply.grad_norm if reply.HasField("grad_norm") else None
        return self._answer(reply, notices, norm, deadline)

    def derive(
        self, lease_id: bytes, graph: Graph, wish: Wish, timeout_s: float, limits: pb.ComputeLimits
    ) -> Answer:
        """A vjp or jvp at the point of a lease.

        Args:
            lease_id: as the server gave it.
            graph: that was leased.
            wish: its kind, directions and lanes.
            timeout_s: for everything.
            limits: of the call.
        """
        deadline = time.monotonic() + timeout_s
        request = pb.DeriveRequest(
            lease_id=lease_id, wishes=self._wishes((wish,), deadline), limits=limits
        )
        reply = self._ask(DERIVE, request, graph, tuple(wish.directions.values()), deadline)
        return self._answer(reply, notices_from_proto(reply.notices), None, deadline)

    def verify(
        self,
        prepared: Prepared,
        wrt: Sequence[str],
        options: Options,
        tolerance: float,
    ) -> VerifyReport:
        """Derivatives held against differences of values."""
        deadline = time.monotonic() + options.timeout_s
        self.upload_captures(prepared.graph, deadline)
        request = pb.VerifyRequest(
            feeds=self._objects.to_proto(prepared.feeds, deadline=deadline),
            wrt=wrt,
            outs=prepared.float_outs(),
            examples=prepared.examples,
            seed=options.seed,
            limits=limits_of(options),
            tolerance=tolerance,
        )
        _name_graph(request, prepared.graph, None)
        reply = self._ask(VERIFY, request, prepared.graph, tuple(prepared.feeds.values()), deadline)
        return VerifyReport(
            reply.ok,
            tuple(map(leaf_from_proto, reply.leaves)),
            check_from_proto(reply.adjoint),
            tuple(map(node_from_proto, reply.nodes)),
            reply.value_finite,
            reply.evaluations,
            resources_from_proto(reply.resources),
            (*_traced(prepared.graph), *notices_from_proto(reply.notices)),
            numerics_from_proto(reply.numerics),
        )

    def release(self, lease_id: bytes, timeout_s: float) -> bool:
        """Gives a lease up; False where it had ended."""
        request = pb.ReleaseRequest(lease_id=lease_id)
        return self._transport.call(RELEASE, request, timeout_s).released

    def _wishes(self, wishes: Sequence[Wish], deadline: float) -> list[pb.ComputeWish]:
        """Messages; large directions go as objects."""
        messages = wishes_to_proto(replace(wish, directions={}) for wish in wishes)
        for message, wish in zip(messages, wishes, strict=True):
            message.directions.extend(self._objects.to_proto(wish.directions, deadline=deadline))
        return messages

    def _answer(
        self,
        reply: pb.ComputeResponse | pb.DeriveResponse,
        notices: tuple[Notice, ...],
        grad_norm: float | None,
        deadline: float,
    ) -> Answer:
        return Answer(
            tuple(
                tensors_from_proto(
                    result.tensors, lambda d: self._objects.get(d, deadline), "results"
                )
                for result in reply.results
            ),
            resources_from_proto(reply.resources),
            notices,
            numerics_from_proto(reply.numerics),
            reply.finite,
            grad_norm,
            reply.lease if reply.HasField("lease") else None,
        )

    def estimate(self, prepared: Prepared, wishes: Sequence[Wish], options: Options) -> Estimate:
        """What a call would take; arrays are not sent."""
        messages = wishes_to_proto(replace(wish, directions={}) for wish in wishes)
        for message, wish in zip(messages, wishes, strict=True):
            for name, array in wish.directions.items():
                message.directions.add(name=name, tensor=aval_to_proto(aval_of(array)))
        request = pb.EstimateRequest(wishes=messages, examples=prepared.examples)
        _name_graph(request, prepared.graph, None)
        reply = self._transport.call(ESTIMATE, request, options.timeout_s)
        return Estimate(
            reply.flops,
            reply.flops_is_bound,
            reply.peak_bytes,
            reply.wire_bytes,
            reply.seconds,
            node_costs_from_proto(reply.by_node),
            (*_traced(prepared.graph), *notices_from_proto(reply.notices)),
            numerics_from_proto(reply.numerics),
        )

    def explain(self, prepared: Prepared, wrt: Sequence[str], options: Options) -> Explanation:
        """The chain rule node by node."""
        deadline = time.monotonic() + options.timeout_s
        self.upload_captures(prepared.graph, deadline)
        request = pb.ExplainRequest(
            feeds=self._objects.to_proto(prepared.feeds, deadline=deadline),
            wrt=wrt,
            output=prepared.scalar_out(),
            examples=prepared.examples,
            seed=options.seed,
            limits=limits_of(options),
        )
        _name_graph(request, prepared.graph, None)
        reply = self._ask(
            EXPLAIN, request, prepared.graph, tuple(prepared.feeds.values()), deadline
        )
        nodes = tuple(self._explained(node, deadline) for node in reply.nodes)
        return Explanation(nodes, reply.text, notices_from_proto(reply.notices))

    def _ask(
        self,
        call: Call[Any, Reply],
        request: Any,
        graph: Graph,
        arrays: Sequence[Array],
        deadline: float,
    ) -> Reply:
        for _ in range(_MENDS):
            try:
                return self._transport.call(call, request, deadline - time.monotonic())
            except ChainruleError as error:
                if not self.mend(error, graph, arrays, deadline):
                    raise
        return self._transport.call(call, request, deadline - time.monotonic())

    def mend(
        self, error: ChainruleError, graph: Graph, arrays: Iterable[Array], deadline: float
    ) -> bool:
        """Gives the server again what a refusal says is missing; False where it says another thing."""
        if error.code is not ErrorCode.OBJECT_MISSING:
            return False
        missing = tuple(error.facts.get("missing", ()))
        self._objects.forget(missing)
        if bytes.fromhex(graph.digest) in missing:
            self.register(graph, deadline - time.monotonic())
        self.upload_captures(graph, deadline)
        self._objects.to_proto(dict(enumerate_names(arrays)), deadline=deadline)
        return True

    def _explained(self, message: pb.ExplainNode, deadline: float) -> ExplainedNode:
        def array(parent: Any, name: str) -> Array | None:
            if not parent.HasField(name):
                return None
            return tensor_from_proto(
                getattr(parent, name), lambda d: self._objects.get(d, deadline), name
            )

        return ExplainedNode(
            message.node,
            message.op,
            message.label,
            message.source_line,
            message.aval,
            array(message, "value"),
            array(message, "incoming"),
            tuple(
                ExplainedEdge(e.input, e.rule, array(e, "local"), array(e, "outgoing"))
                for e in message.edges
            ),
        )


def enumerate_names(arrays: Iterable[Array]) -> Iterable[tuple[str, Array]]:
    """Arrays under names that only tell them apart."""
    return ((str(i), array) for i, array in enumerate(arrays))


def warn_unsplit(notices: Iterable[Notice], stacklevel: int) -> None:
    """Says once a place that a batch runs on one worker; `stacklevel` is the caller's caller as in `warn`."""
    for notice in notices:
        if notice.kind in _SPLIT_NOTICES:
            where = f"{notice.source_line}: " if notice.source_line else ""
            warnings.warn(where + notice.text, UnsplitWarning, stacklevel=stacklevel)


def limits_of(options: Options) -> pb.ComputeLimits:
    """Their message."""
    return pb.ComputeLimits(max_bytes=options.max_bytes or 0, max_flops=options.max_flops or 0.0)


def value_wish() -> Wish:
    """Every output."""
    return Wish(Computation.VALUE)


def grad_wish(prepared: Prepared, wrt: Any) -> Wish:
    """The gradient of the scalar output."""
    return Wish(Computation.GRAD, prepared.wrt_names(wrt), (prepared.scalar_out(),))


def _traced(graph: Graph) -> tuple[Notice, ...]:
    return tuple(Notice(kind=n.kind, text=n.text, source_line=n.line) for n in graph.notices)


def _name_graph(request: Any, graph: Graph, digest: bytes | None) -> None:
    if digest is not None:
        request.graph_digest = digest
        return
    request.graph.CopyFrom(graph_to_proto(graph.graph))
    request.debug.CopyFrom(debug_to_proto(graph.graph))
