"""Register, Compute, Estimate, Explain."""

from collections.abc import Callable, Iterable

import numpy as np

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import tensor_pb2
from chainrule.wire.calls import node_costs_to_proto, wish_avals_from_proto, wishes_from_proto
from chainrule.wire.records import Array, Computation, Wish
from chainrule_server.door.request import Request
from chainrule_server.engine.explain import ExplainedNode, to_text
from chainrule_server.engine.program import Program
from chainrule_server.service.estimate import node_costs
from chainrule_server.service.programs import Programs
from chainrule_server.service.results import Outbox
from chainrule_server.service.runner import Runner, inputs_of, spent, told
from chainrule_server.service.wishes import requests_of, results_of, seeds_of

# Elements of an array that an explanation sends where the caller doesn't say.
_EXPLAINED_ELEMENTS = 256


class GradientServicer:
    """`chainrule.v1.GradientService`, but for leases and `Verify`.

    Args:
        runner: finds graphs and runs programs.
        programs: compiles.
        lease: answers a Compute that wants a lease.
    """

    def __init__(
        self,
        runner: Runner,
        programs: Programs,
        lease: Callable[[Request[pb.ComputeRequest]], pb.ComputeResponse],
    ) -> None:
        self._runner = runner
        self._programs = programs
        self._lease = lease

    def register(self, request: Request[pb.RegisterRequest]) -> pb.RegisterResponse:
        """Check a graph and keep it; its digest names it from now on."""
        body = request.body
        sent = body.graph if body.HasField("graph") else None
        known = self._runner.graphs.of(request.tenant, sent, b"", body.debug, "graph")
        return pb.RegisterResponse(digest=known.digest, nodes=known.graph.n_nodes)

    def compute(self, request: Request[pb.ComputeRequest]) -> pb.ComputeResponse:
        """Values and derivatives at the feeds."""
        body, tenant = request.body, request.tenant
        request = request.within(body.limits.deadline_ms)
        if body.HasField("lease"):
            return self._lease(request)
        known = self._runner.known(request, body)
        main = known.graph.main
        wishes = wishes_from_proto(body.wishes, self._runner.fetch(tenant))
        requests = requests_of(wishes, main)
        self._runner.check_pin(body.numerics)
        program = self._programs.request(tenant, known, requests, body.numerics.microshard_rows)
        inputs, seeds = inputs_of(main, program), seeds_of(wishes, requests)
        feeds, n = self._runner.feeds(request, body, inputs, seeds)
        result = self._runner.run(request, program, feeds, n, body.limits)
        results = results_of(requests, result.outputs, main)
        outbox = Outbox(self._runner.store, tenant)
        return pb.ComputeResponse(
            results=[pb.ComputeResult(tensors=outbox.named(named)) for named in results],
            resources=spent(result),
            notices=told(program),
            numerics=self._runner.record(program, n),
            graph_digest=known.digest,
            finite=all(is_finite(a) for named in results for _, a in named),
            grad_norm=_grad_norm(wishes, results),
        )

    def estimate(self, request: Request[pb.EstimateRequest]) -> pb.EstimateResponse:
        """What a Compute would take."""
        body = request.body
        known = self._runner.known(request, body)
        main = known.graph.main
        asked = wish_avals_from_proto(body.wishes)
        requests = requests_of([wish for wish, _ in asked], main)
        self._runner.check_pin(body.numerics)
        program = self._programs.request(
            request.tenant, known, requests, body.numerics.microshard_rows
        )
        n = _examples(program, body.examples)
        layout = program.layout(n)
        ports = (*program.inputs, *program.outputs)
        return pb.EstimateResponse(
            flops=layout.flops,
            peak_bytes=layout.peak_bytes,
            wire_bytes=sum(port.aval.concrete(n).nbytes for port in ports),
            seconds=self._runner.door.queue.predict_s(layout.flops),
            by_node=node_costs_to_proto(node_costs(known.graph, requests, n)),
            notices=told(program),
            numerics=self._runner.record(program, n),
            graph_digest=known.digest,
        )

    def explain(self, request: Request[pb.ExplainRequest]) -> pb.ExplainResponse:
        """Every node's value, local derivative and cotangents."""
        body, tenant = request.body, request.tenant
        request = request.within(body.limits.deadline_ms)
        known = self._runner.known(request, body)
        explanation = self._programs.explanation(tenant, known, tuple(body.wrt), body.output)
        program = explanation.program
        feeds, n = self._runner.feeds(request, body, inputs_of(known.graph.main, program))
        result = self._runner.run(request, program, feeds, n, body.limits)
        nodes = explanation.nodes(result.outputs)
        most = body.max_elements or _EXPLAINED_ELEMENTS
        return pb.ExplainResponse(
            nodes=_explained(nodes, most, Outbox(self._runner.store, tenant)),
            text=to_text(nodes),
            notices=told(program),
            numerics=self._runner.record(program, n),
            graph_digest=known.digest,
        )


def _examples(program: Program, examples: int) -> int:
    if program.is_batched and not examples:
        raise ShapeMismatch(
            "the graph has a batch and the call names no number of examples",
            code=ErrorCode.BATCH_MISMATCH,
            field="examples",
            cure="give examples",
        )
    return examples or 1


def is_finite(array: Array) -> bool:
    """No NaN and no infinity."""
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _grad_norm(
    wishes: Iterable[Wish], results: Iterable[tuple[tuple[str, Array], ...]]
) -> float | None:
    for wish, named in zip(wishes, results, strict=True):
        if wish.computation is Computation.GRAD:
            squares = (np.sum(np.square(a, dtype=np.float64)) for _, a in named)
            return float(np.sqrt(sum(squares)))
    return None


def _explained(nodes: Iterable[ExplainedNode], most: int, outbox: Outbox) -> list[pb.ExplainNode]:
    def small(array: Array | None) -> tensor_pb2.Tensor | None:
        return None if array is None or array.size > most else outbox.tensor(array)

    return [
        pb.ExplainNode(
            function="main",
            node=node.node,
            op=node.op,
            label=node.label,
            source_line=node.line,
            aval=str(node.aval),
            value=small(node.value),
            incoming=small(node.incoming),
            edges=[
                pb.ExplainEdge(
                    input=edge.input,
                    rule=edge.rule,
                    local=small(edge.local),
                    outgoing=small(edge.outgoing),
                )
                for edge in node.edges
            ],
        )
        for node in nodes
    ]
