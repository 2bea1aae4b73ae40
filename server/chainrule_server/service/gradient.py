"""Register, Compute, Estimate, Explain."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from chainrule.errors import ErrorCode, LimitExceeded, NumericsChanged, ShapeMismatch
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.graph import Function
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import report_pb2, tensor_pb2
from chainrule.wire.calls import node_costs_to_proto, wish_avals_from_proto, wishes_from_proto
from chainrule.wire.records import Array, Computation, Notice, Numerics, Resources, Wish
from chainrule.wire.reports import notices_to_proto, numerics_to_proto, resources_to_proto
from chainrule.wire.tensor import tensors_from_proto
from chainrule_server.door.door import Door
from chainrule_server.door.feeds import bind
from chainrule_server.door.graphs import GraphStore, Known
from chainrule_server.door.request import Body, Request
from chainrule_server.engine.explain import ExplainedNode, to_text
from chainrule_server.engine.program import Program
from chainrule_server.service.estimate import node_costs, run_bytes
from chainrule_server.service.programs import Programs
from chainrule_server.service.results import Outbox
from chainrule_server.service.wishes import requests_of, results_of, seeds_of
from chainrule_server.sessions.keys import step_key
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.workers.coordinator import Coordinator, RunResult

KEY = "$key"
# Elements of an array that an explanation sends where the caller doesn't say.
_EXPLAINED_ELEMENTS = 256


class GradientServicer:
    """`chainrule.v1.GradientService`.

    Args:
        door: gives a run its bytes and its turn.
        graphs: checked graphs.
        programs: compiles.
        coordinator: runs.
        store: objects.
        numerics: the record of this process.
    """

    def __init__(
        self,
        door: Door,
        graphs: GraphStore,
        programs: Programs,
        coordinator: Coordinator,
        store: ObjectStore,
        numerics: Numerics,
    ) -> None:
        self._door = door
        self._graphs = graphs
        self._programs = programs
        self._coordinator = coordinator
        self._store = store
        self._numerics = numerics

    def register(self, request: Request[pb.RegisterRequest]) -> pb.RegisterResponse:
        """Check a graph and keep it; its digest names it from now on."""
        body = request.body
        sent = body.graph if body.HasField("graph") else None
        known = self._graphs.of(request.tenant, sent, b"", body.debug, "graph")
        return pb.RegisterResponse(digest=known.digest, nodes=known.graph.n_nodes)

    def compute(self, request: Request[pb.ComputeRequest]) -> pb.ComputeResponse:
        """Values and derivatives at the feeds."""
        body, tenant = request.body, request.tenant
        request = request.within(body.limits.deadline_ms)
        known = self._known(request, body)
        main = known.graph.main
        _check_batch_arguments(main, tuple(body.batch_arguments))
        wishes = wishes_from_proto(body.wishes, self._fetch(tenant))
        requests = requests_of(wishes, main)
        self._check_pin(body.numerics)
        program = self._programs.request(tenant, known, requests, body.numerics.microshard_rows)
        feeds = tensors_from_proto(body.feeds, self._fetch(tenant), "feeds")
        feeds |= seeds_of(wishes, requests)
        result, n = self._run(request, program, main, feeds, body.examples, body.seed, body.limits)
        results = results_of(requests, result.outputs, main)
        outbox = Outbox(self._store, tenant)
        return pb.ComputeResponse(
            results=[pb.ComputeResult(tensors=outbox.named(named)) for named in results],
            resources=_spent(result),
            notices=_notices(program),
            numerics=self._record(program, n),
            graph_digest=known.digest,
            finite=all(_is_finite(a) for named in results for _, a in named),
            grad_norm=_grad_norm(wishes, results),
        )

    def estimate(self, request: Request[pb.EstimateRequest]) -> pb.EstimateResponse:
        """What a Compute would take."""
        body = request.body
        known = self._known(request, body)
        main = known.graph.main
        _check_batch_arguments(main, tuple(body.batch_arguments))
        asked = wish_avals_from_proto(body.wishes)
        requests = requests_of([wish for wish, _ in asked], main)
        self._check_pin(body.numerics)
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
            seconds=self._door.queue.predict_s(layout.flops),
            by_node=node_costs_to_proto(node_costs(known.graph, requests, n)),
            notices=_notices(program),
            numerics=self._record(program, n),
            graph_digest=known.digest,
        )

    def explain(self, request: Request[pb.ExplainRequest]) -> pb.ExplainResponse:
        """Every node's value, local derivative and cotangents."""
        body, tenant = request.body, request.tenant
        request = request.within(body.limits.deadline_ms)
        known = self._known(request, body)
        main = known.graph.main
        _check_batch_arguments(main, tuple(body.batch_arguments))
        explanation = self._programs.explanation(tenant, known, tuple(body.wrt), body.output)
        feeds = tensors_from_proto(body.feeds, self._fetch(tenant), "feeds")
        result, n = self._run(
            request, explanation.program, main, feeds, body.examples, body.seed, body.limits
        )
        nodes = explanation.nodes(result.outputs)
        most = body.max_elements or _EXPLAINED_ELEMENTS
        return pb.ExplainResponse(
            nodes=_explained(nodes, most, Outbox(self._store, tenant)),
            text=to_text(nodes),
            notices=_notices(explanation.program),
            numerics=self._record(explanation.program, n),
            graph_digest=known.digest,
        )

    def _known(
        self,
        request: Request[Body],
        body: pb.ComputeRequest | pb.EstimateRequest | pb.ExplainRequest,
    ) -> Known:
        sent = body.graph if body.WhichOneof("program") == "graph" else None
        return self._graphs.of(request.tenant, sent, body.graph_digest, body.debug, "graph_digest")

    def _run(
        self,
        request: Request[Body],
        program: Program,
        main: Function,
        feeds: dict[str, Array],
        examples: int,
        seed: int,
        limits: pb.ComputeLimits,
    ) -> tuple[RunResult, int]:
        inputs = dict(zip(main.input_names, main.in_avals, strict=True))
        inputs |= {port.name: port.aval for port in program.inputs}
        if KEY in inputs:
            feeds.setdefault(KEY, step_key(seed, 0))
        bound, n = bind(inputs, feeds, self._fetch(request.tenant), examples)
        layout = program.layout(n)
        needed = run_bytes(program, n, self._coordinator.pool.n_workers)
        if limits.max_bytes and layout.peak_bytes > limits.max_bytes:
            raise LimitExceeded(
                f"the plan takes {layout.peak_bytes} bytes, the call allows {limits.max_bytes}",
                code=ErrorCode.COST_BYTES,
                field="limits.max_bytes",
                cure="allow more, or send a smaller batch",
                limit=limits.max_bytes,
                value=layout.peak_bytes,
            )
        if limits.max_flops and layout.flops > limits.max_flops:
            raise LimitExceeded(
                f"the plan takes {layout.flops:.3g} operations, the call allows {limits.max_flops:.3g}",
                code=ErrorCode.COST_FLOPS,
                field="limits.max_flops",
                cure="allow more, or ask for less",
                limit=limits.max_flops,
                value=layout.flops,
            )
        board = {port.name for port in program.inputs}
        with self._door.run(request, needed, layout.flops):
            result = self._coordinator.run(
                program,
                n,
                {name: array for name, array in bound.items() if name in board},
                deadline=request.deadline,
                cancel=request.cancel,
            )
        return result, n

    def _fetch(self, tenant: str) -> "_Fetch":
        return _Fetch(self._store, tenant)

    def _check_pin(self, pin: pb.NumericsPin) -> None:
        here = self._numerics.numerics_id
        if pin.numerics_id and pin.numerics_id != here:
            raise NumericsChanged(
                f"numerics {pin.numerics_id.hex()[:16]} is asked for, this server has {here.hex()[:16]}",
                field="numerics.numerics_id",
                cure="leave the pin out, or ask a server of the same build and machine",
            )

    def _record(self, program: Program, n: int) -> report_pb2.NumericsRecord:
        return numerics_to_proto(replace(self._numerics, microshard_rows=program.rows_at(n)))


class _Fetch:
    """Objects of one tenant."""

    def __init__(self, store: ObjectStore, tenant: str) -> None:
        self._store = store
        self._tenant = tenant

    def __call__(self, digest: bytes) -> Array:
        return self._store.array(self._tenant, digest)


def _check_batch_arguments(main: Function, numbers: tuple[int, ...]) -> None:
    """Refuse a graph that was traced for another choice of batch arguments than the call names."""
    if not numbers:
        return
    batched = {
        int(number)
        for name, aval in zip(main.input_names, main.in_avals, strict=True)
        if (number := name.partition("/")[2].partition("/")[0]).isdecimal() and _leads(aval)
    }
    if batched != set(numbers):
        raise ShapeMismatch(
            f"batch_arguments names {sorted(numbers)}, in the graph they are {sorted(batched)}",
            code=ErrorCode.BATCH_MISMATCH,
            field="batch_arguments",
            cure="trace the function with the same batch=",
        )


def _leads(aval: Aval) -> bool:
    return bool(aval.shape) and isinstance(aval.shape[0], BatchDim)


def _examples(program: Program, examples: int) -> int:
    if program.is_batched and not examples:
        raise ShapeMismatch(
            "the graph has a batch and the call names no number of examples",
            code=ErrorCode.BATCH_MISMATCH,
            field="examples",
            cure="give examples",
        )
    return examples or 1


def _spent(result: RunResult) -> report_pb2.Resources:
    stats = result.stats
    return resources_to_proto(
        Resources(
            wall_seconds=stats.wall_s,
            cpu_seconds=stats.cpu_s,
            flops=stats.flops,
            peak_bytes=stats.peak_bytes,
            workers_used=stats.workers_used,
            blocks_redone=stats.redone,
        )
    )


def _notices(program: Program) -> list[report_pb2.Notice]:
    return notices_to_proto(
        Notice(kind=n.code, text=n.text, label=n.label, source_line=n.line) for n in program.notices
    )


def _is_finite(array: Array) -> bool:
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
