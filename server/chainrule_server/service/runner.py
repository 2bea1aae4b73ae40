"""What every call about a graph does: find it, bind its feeds, hold the plan to its limits, run it."""

from collections.abc import Mapping
from dataclasses import replace

from chainrule.errors import ErrorCode, LimitExceeded, NumericsChanged, ShapeMismatch
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.graph import Function
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import report_pb2
from chainrule.wire.records import Array, Notice, Numerics, Resources
from chainrule.wire.reports import notices_to_proto, numerics_to_proto, resources_to_proto
from chainrule.wire.tensor import Fetch, tensors_from_proto
from chainrule_server.door.door import Door
from chainrule_server.door.feeds import bind
from chainrule_server.door.graphs import GraphStore, Known
from chainrule_server.door.request import Body, Request
from chainrule_server.engine.program import Program
from chainrule_server.service.estimate import run_bytes
from chainrule_server.sessions.keys import step_key
from chainrule_server.storage.objects import ObjectStore
from chainrule_server.workers.coordinator import Coordinator, RunResult

KEY = "$key"


class Runner:
    """Runs programs of stateless calls.

    Args:
        door: gives a run its bytes and its turn.
        graphs: checked graphs.
        coordinator: runs.
        store: objects.
        numerics: the record of this process.
    """

    def __init__(
        self,
        door: Door,
        graphs: GraphStore,
        coordinator: Coordinator,
        store: ObjectStore,
        numerics: Numerics,
    ) -> None:
        self.door = door
        self.graphs = graphs
        self.store = store
        self._coordinator = coordinator
        self._numerics = numerics

    def known(
        self,
        request: Request[Body],
        body: pb.ComputeRequest | pb.EstimateRequest | pb.ExplainRequest | pb.VerifyRequest,
    ) -> Known:
        """The graph that a call sends or names, of the batch arguments that it says.

        Raises:
            GraphError: there is none, or it is of another batch (BATCH_MISMATCH).
        """
        sent = body.graph if body.WhichOneof("program") == "graph" else None
        known = self.graphs.of(request.tenant, sent, body.graph_digest, body.debug, "graph_digest")
        _check_batch_arguments(known.graph.main, tuple(body.batch_arguments))
        return known

    def fetch(self, tenant: str) -> Fetch:
        """Gives objects of one tenant."""

        def fetch(digest: bytes) -> Array:
            return self.store.array(tenant, digest)

        return fetch

    def feeds(
        self,
        request: Request[Body],
        body: pb.ComputeRequest | pb.ExplainRequest | pb.VerifyRequest,
        inputs: Mapping[str, Aval],
        seeds: Mapping[str, Array] | None = None,
    ) -> tuple[dict[str, Array], int]:
        """An array for every input, and N.

        Args:
            request: the call.
            body: of it.
            inputs: avals by name, of the graph and of what a program takes beside it.
            seeds: feeds that came in wishes.
        """
        fetch = self.fetch(request.tenant)
        feeds = tensors_from_proto(body.feeds, fetch, "feeds") | dict(seeds or {})
        if KEY in inputs:
            feeds.setdefault(KEY, step_key(body.seed, 0))
        return bind(inputs, feeds, fetch, body.examples)

    def run(
        self,
        request: Request[Body],
        program: Program,
        feeds: Mapping[str, Array],
        n: int,
        limits: pb.ComputeLimits,
        kept: int = 0,
    ) -> RunResult:
        """Run a program once, with the bytes and the turn that it needs.

        Args:
            request: the call.
            program: what runs.
            feeds: an array an input, and more.
            n: examples.
            limits: what the call allows.
            kept: bytes of the results that stay on the server afterwards.

        Raises:
            LimitExceeded: the plan takes more than the call allows (COST_BYTES, COST_FLOPS) or there is.
        """
        layout = program.layout(n)
        check_limits(layout.peak_bytes, layout.flops, limits)
        needed = run_bytes(program, n, self._coordinator.pool.n_workers)
        board = {port.name for port in program.inputs}
        with self.door.run(request, needed + kept, layout.flops):
            return self._coordinator.run(
                program,
                n,
                {name: array for name, array in feeds.items() if name in board},
                deadline=request.deadline,
                cancel=request.cancel,
            )

    def check_pin(self, pin: pb.NumericsPin) -> None:
        """Refuse a call that insists on other bits.

        Raises:
            NumericsChanged: it names another build or machine.
        """
        here = self._numerics.numerics_id
        if pin.numerics_id and pin.numerics_id != here:
            raise NumericsChanged(
                f"numerics {pin.numerics_id.hex()[:16]} is asked for, this server has {here.hex()[:16]}",
                field="numerics.numerics_id",
                cure="leave the pin out, or ask a server of the same build and machine",
            )

    def record(self, program: Program, n: int) -> report_pb2.NumericsRecord:
        """Everything that may move a bit of the results."""
        return numerics_to_proto(replace(self._numerics, microshard_rows=program.rows_at(n)))


def check_limits(nbytes: int, flops: float, limits: pb.ComputeLimits) -> None:
    """Hold a plan to what the call allows.

    Raises:
        LimitExceeded: COST_BYTES or COST_FLOPS.
    """
    if limits.max_bytes and nbytes > limits.max_bytes:
        raise LimitExceeded(
            f"the plan takes {nbytes} bytes, the call allows {limits.max_bytes}",
            code=ErrorCode.COST_BYTES,
            field="limits.max_bytes",
            cure="allow more, or send a smaller batch",
            limit=limits.max_bytes,
            value=nbytes,
        )
    if limits.max_flops and flops > limits.max_flops:
        raise LimitExceeded(
            f"the plan takes {flops:.3g} operations, the call allows {limits.max_flops:.3g}",
            code=ErrorCode.COST_FLOPS,
            field="limits.max_flops",
            cure="allow more, or ask for less",
            limit=limits.max_flops,
            value=flops,
        )


def inputs_of(main: Function, program: Program) -> dict[str, Aval]:
    """Avals of all feeds: of the graph, and of the program beside it."""
    inputs = dict(zip(main.input_names, main.in_avals, strict=True))
    return inputs | {port.name: port.aval for port in program.inputs}


def spent(result: RunResult) -> report_pb2.Resources:
    """What a run took."""
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


def told(program: Program) -> list[report_pb2.Notice]:
    """What a program has to say."""
    return notices_to_proto(
        Notice(kind=n.code, text=n.text, label=n.label, source_line=n.line) for n in program.notices
    )


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
