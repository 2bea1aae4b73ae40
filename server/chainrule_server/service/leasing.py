"""Compute with a lease, Derive, Release: one forward, many derivatives."""

from collections.abc import Sequence

from chainrule.errors import ErrorCode, GraphError, InvalidGraph, ShapeMismatch
from chainrule.ir.avals import Aval
from chainrule.ir.tensors import aval_of
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.wire.calls import wishes_from_proto
from chainrule.wire.records import Array, Computation, Wish
from chainrule_server.door.request import Request
from chainrule_server.engine.linearize import Linearized, seed_name
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import Kind
from chainrule_server.service.gradient import is_finite
from chainrule_server.service.leases import Lease, Leases
from chainrule_server.service.programs import Programs
from chainrule_server.service.results import Outbox
from chainrule_server.service.runner import Runner, inputs_of, spent, told
from chainrule_server.service.wishes import check_lanes
from chainrule_server.workers.coordinator import RunResult

_KINDS = {Computation.VJP: Kind.VJP, Computation.JVP: Kind.JVP}


class LeaseServicer:
    """What of `chainrule.v1.GradientService` is about leases.

    Args:
        runner: finds graphs and runs programs.
        programs: compiles.
        leases: keeps residuals.
    """

    def __init__(self, runner: Runner, programs: Programs, leases: Leases) -> None:
        self._runner = runner
        self._programs = programs
        self._leases = leases

    def open(self, request: Request[pb.ComputeRequest]) -> pb.ComputeResponse:
        """The value, and a lease of what its derivatives need."""
        body, tenant = request.body, request.tenant
        known = self._runner.known(request, body)
        wishes = wishes_from_proto(body.wishes, self._runner.fetch(tenant))
        if [wish.computation for wish in wishes] != [Computation.VALUE]:
            raise GraphError(
                "a lease with another wish than the value",
                code=ErrorCode.BAD_FIELD,
                field="wishes",
                cure="ask for the value alone, then for derivatives by Derive",
            )
        self._runner.check_pin(body.numerics)
        wish = body.lease
        linearized = self._programs.linearized(
            tenant, known, tuple(wish.wrt), tuple(wish.outs), body.numerics.microshard_rows
        )
        main, program = known.graph.main, linearized.forward
        feeds, n = self._runner.feeds(request, body, inputs_of(main, program))
        kept = sum(p.aval.concrete(n).nbytes for p in linearized.residuals)
        with self._leases.room(tenant, kept):
            result = self._runner.run(request, program, feeds, n, body.limits, kept)
            residuals = {p.name: result.outputs[p.name] for p in linearized.residuals}
            lease = self._leases.keep(tenant, linearized, n, residuals, wish.ttl_ms / 1000)
        values = [(name, result.outputs[f"value/{name}"]) for name in main.output_names]
        outbox = Outbox(self._runner.store, tenant)
        return pb.ComputeResponse(
            results=[pb.ComputeResult(tensors=outbox.named(values))],
            resources=spent(result),
            notices=told(program),
            numerics=self._runner.record(program, n),
            lease=_lease_to_proto(lease),
            graph_digest=known.digest,
            finite=all(is_finite(a) for _, a in values),
        )

    def derive(self, request: Request[pb.DeriveRequest]) -> pb.DeriveResponse:
        """vjps and jvps at the point of a lease; its forward isn't run again."""
        body, tenant = request.body, request.tenant
        request = request.within(body.limits.deadline_ms)
        lease = self._leases.use(tenant, body.lease_id)
        wishes = wishes_from_proto(body.wishes, self._runner.fetch(tenant))
        if len(wishes) != 1:
            raise GraphError(
                f"{len(wishes)} wishes of a lease",
                code=ErrorCode.BAD_FIELD if wishes else ErrorCode.MISSING_FIELD,
                field="wishes",
                cure="send one; many seeds of one kind go together as lanes",
            )
        program, result = self._derivative(request, lease, wishes[0])
        linearized, kind = lease.linearized, _KINDS[wishes[0].computation]
        named = [
            (name, result.outputs[f"{kind.value}/{name}"]) for name in linearized.results(kind)
        ]
        outbox = Outbox(self._runner.store, tenant)
        return pb.DeriveResponse(
            results=[pb.ComputeResult(tensors=outbox.named(named))],
            resources=spent(result),
            notices=told(program),
            numerics=self._runner.record(program, lease.n),
            lease=_lease_to_proto(lease),
            finite=all(is_finite(a) for _, a in named),
        )

    def release(self, request: Request[pb.ReleaseRequest]) -> pb.ReleaseResponse:
        """Give a lease up."""
        return pb.ReleaseResponse(
            released=self._leases.release(request.tenant, request.body.lease_id)
        )

    def _derivative(
        self, request: Request[pb.DeriveRequest], lease: Lease, wish: Wish
    ) -> tuple[Program, RunResult]:
        kind = _KINDS.get(wish.computation)
        if kind is None or wish.wrt or wish.outs:
            raise GraphError(
                f"a {wish.computation.name.lower()} of {', '.join((*wish.wrt, *wish.outs)) or 'a lease'}",
                code=ErrorCode.BAD_FIELD,
                field="wishes[0]",
                cure="a lease gives vjps and jvps of all its names; leave wrt and outs out",
            )
        check_lanes(wish.lanes, "wishes[0]")
        seeds = _seeds(lease, kind, wish)
        program = lease.linearized.derivative(kind, wish.lanes)
        feeds = {**lease.residuals, **seeds}
        return program, self._runner.run(request, program, feeds, lease.n, request.body.limits)


def _seeds(lease: Lease, kind: Kind, wish: Wish) -> dict[str, Array]:
    """The directions by the program's names, each of the shape that it must have."""
    linearized = lease.linearized
    names = linearized.seeds(kind)
    for name in wish.directions:
        if name not in names:
            raise InvalidGraph(
                f"{name[:64]!r} is none of the lease",
                code=ErrorCode.BAD_REF,
                field="wishes[0].directions",
                cure=f"directions are {', '.join(names[:8])}",
            )
    front = (wish.lanes,) if wish.lanes else ()
    out = {}
    for name, aval in zip(names, _avals(linearized, kind), strict=True):
        if name not in wish.directions:
            raise GraphError(
                f"the direction {name[:64]} is missing",
                code=ErrorCode.MISSING_FIELD,
                field="wishes[0].directions",
                cure="send one a name of the lease",
            )
        array, point = wish.directions[name], aval.concrete(lease.n)
        needed = Aval(point.dtype, (*front, *point.shape))
        if aval_of(array) != needed:
            raise ShapeMismatch(
                f"{name} is {aval_of(array)}, the lease takes {needed}",
                code=ErrorCode.SHAPE_MISMATCH,
                field="wishes[0].directions",
                cure="send the shape of the value, with lanes in front where there are some",
            )
        out[seed_name(kind, name)] = array
    return out


def _avals(linearized: Linearized, kind: Kind) -> Sequence[Aval]:
    if kind is Kind.VJP:
        outs = {p.name: p.aval for p in linearized.forward.outputs}
        return [outs[f"value/{name}"] for name in linearized.outs]
    ins = {p.name: p.aval for p in linearized.forward.inputs}
    return [ins[name] for name in linearized.wrt]


def _lease_to_proto(lease: Lease) -> pb.Lease:
    return pb.Lease(id=lease.id, ttl_ms=int(1000 * lease.ttl_s), bytes=lease.nbytes)
