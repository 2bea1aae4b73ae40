"""Verify: derivatives held against values, which know nothing of them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, GraphError
from chainrule.ir.avals import Aval, DType
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import report_pb2
from chainrule.wire.records import Array, Check, Verdict, VerifiedLeaf, VerifiedNode
from chainrule.wire.verify import check_to_proto, leaf_to_proto, node_to_proto
from chainrule_server.door.request import Request
from chainrule_server.engine import differences
from chainrule_server.engine.verify import Verification
from chainrule_server.service.gradient import is_finite
from chainrule_server.service.programs import Programs
from chainrule_server.service.runner import Runner, check_limits, spent, told

# Nodes that a report shows.
_SHOWN = 8


@dataclass(frozen=True, slots=True)
class _Precision:
    """What a dtype allows: steps of the differences, by quarters, and how near they come."""

    eps: float
    first: int
    last: int
    tolerance: float

    @property
    def steps(self) -> tuple[float, ...]:
        return tuple(2.0**-k for k in range(self.first, self.last + 1, 2))


_FULL = _Precision(2.0**-52, 4, 20, 1e-6)
_SINGLE = _Precision(2.0**-23, 2, 10, 5e-3)
_HALF = _Precision(2.0**-8, 1, 5, 1e-1)


class VerifyServicer:
    """`Verify` of `chainrule.v1.GradientService`.

    Args:
        runner: finds graphs and runs programs.
        programs: compiles.
    """

    def __init__(self, runner: Runner, programs: Programs) -> None:
        self._runner = runner
        self._programs = programs

    def verify(self, request: Request[pb.VerifyRequest]) -> pb.VerifyResponse:
        """Derivatives, differences and adjoints at the feeds."""
        body = request.body
        request = request.within(body.limits.deadline_ms)
        if not 0 <= body.tolerance < 1:
            raise GraphError(
                f"tolerance {body.tolerance:g}",
                code=ErrorCode.BAD_FIELD,
                field="tolerance",
                cure="give a relative one between 0 and 1; 0 is what the dtypes allow",
            )
        known = self._runner.known(request, body)
        v = self._programs.verification(request.tenant, known, tuple(body.wrt), tuple(body.outs))
        main = known.graph.main
        feeds, n = self._runner.feeds(
            request, body, dict(zip(main.input_names, main.in_avals, strict=True))
        )
        run = _Run(self._runner, request, v, feeds, n)
        return run.answer(body.tolerance, known.digest)


class _Run:
    """One verification at one point."""

    def __init__(
        self,
        runner: Runner,
        request: Request[pb.VerifyRequest],
        v: Verification,
        feeds: Mapping[str, Array],
        n: int,
    ) -> None:
        self._runner, self._request, self._v = runner, request, v
        self._feeds, self._n = dict(feeds), n
        f = v.flat.function
        ins = dict(zip(f.input_names, f.in_avals, strict=True))
        outs = dict(zip(f.output_names, f.out_avals, strict=True))
        avals = [ins[name] for name in v.wrt] + [outs[name] for name in v.outs]
        self._precision = _precision(avals)
        rng = np.random.Generator(np.random.Philox(request.body.seed % 2**64))
        self._t = {name: _direction(rng, feeds[name]) for name in v.wrt}
        self._ct = {
            name: _normal(rng, outs[name].concrete(n).dims, outs[name].dtype) for name in v.outs
        }
        self._scale: Array = np.zeros(1 + len(v.nodes))
        self._evaluations = 0
        self._spent = report_pb2.Resources()

    def answer(self, tolerance: float, digest: bytes) -> pb.VerifyResponse:
        """Run everything and compare."""
        v, tolerance = self._v, tolerance or self._precision.tolerance
        leaves = [(name,) for name in v.wrt]
        together = [tuple(v.wrt)] if len(leaves) > 1 else []
        self._check_cost(len(leaves) + len(together))
        seeds = {f"ct/{name}": a for name, a in self._ct.items()}
        tangents = {f"t/{name}": a for name, a in self._t.items()}
        base = self._run(v.base, seeds | tangents)
        self._scale = self._scales(base)
        fixed = seeds | {k: a for k, a in base.items() if k.startswith("frozen/")}
        at = self._probe(fixed, {})
        checks, found = [], None
        for names in (*leaves, *together):
            found = self._estimate(fixed, at, names)
            if len(names) == 1:
                slope = _inner(base[f"vjp/{names[0]}"], self._t[names[0]])
                checks.append(_judged(slope, found, 0, tolerance))
        assert found is not None
        shown = [
            VerifiedLeaf(
                name,
                str(
                    Aval(
                        DType.__members__[self._feeds[name].dtype.name.upper()],
                        self._feeds[name].shape,
                    )
                ),
                is_finite(self._feeds[name]) and is_finite(base[f"vjp/{name}"]),
                check,
            )
            for name, check in zip(v.wrt, checks, strict=True)
        ]
        adjoint = self._adjoint(base, tolerance)
        nodes = sorted(self._nodes(base, found, tolerance), key=_worst_first)
        verdicts = [c.verdict for c in (*checks, adjoint)]
        # A node's tangent that is wrong shows in a leaf or an adjoint; its own differences only say where,
        # and in float32 they may meet kinks on the way.
        verdicts += [node.adjoint.verdict for node in nodes if node.adjoint]
        return pb.VerifyResponse(
            ok=not {Verdict.DIFFERS, Verdict.NOT_FINITE} & set(verdicts),
            leaves=map(leaf_to_proto, shown),
            adjoint=check_to_proto(adjoint),
            nodes=map(node_to_proto, nodes[:_SHOWN]),
            value_finite=all(is_finite(a) for k, a in base.items() if k.startswith("value/")),
            evaluations=self._evaluations,
            resources=self._spent,
            notices=told(v.base),
            numerics=self._runner.record(v.base, self._n),
            graph_digest=digest,
        )

    def _check_cost(self, directions: int) -> None:
        """Hold all evaluations together to what the call allows, before the first."""
        base, probe = self._v.base.layout(self._n), self._v.probe.layout(self._n)
        times = 2 * directions * len(self._precision.steps) + 1
        peak = max(base.peak_bytes, probe.peak_bytes)
        check_limits(peak, base.flops + times * probe.flops, self._request.body.limits)

    def _run(self, program: Any, feeds: Mapping[str, Array]) -> dict[str, Array]:
        self._evaluations += 1
        limits = pb.ComputeLimits()
        every = self._feeds | dict(feeds)
        result = self._runner.run(self._request, program, every, self._n, limits)
        one, total = spent(result), self._spent
        for field in ("wall_seconds", "cpu_seconds", "flops", "blocks_redone"):
            setattr(total, field, getattr(total, field) + getattr(one, field))
        for field in ("peak_bytes", "workers_used"):
            setattr(total, field, max(getattr(total, field), getattr(one, field)))
        return result.outputs

    def _probe(self, fixed: Mapping[str, Array], moved: Mapping[str, Array]) -> Array:
        """Values beside the point: the total first, then the nodes."""
        found = self._run(self._v.probe, {**fixed, **moved})
        return np.array([found["total"], *(found[f"node/{row}"] for row in self._v.nodes)])

    def _scales(self, base: Mapping[str, Array]) -> Array:
        """How large the terms of each probed number are, with what rounding before it comes to."""
        terms = [self._ct[name] * base[f"value/{name}"] for name in self._v.outs]
        total = sum(_inner(x, x) for x in terms)
        squares = [total, *(float(base[f"scale/{row}"]) for row in self._v.nodes)]
        scales: Array = 4 * np.sqrt(np.array(squares))
        return scales

    def _estimate(
        self, fixed: Mapping[str, Array], at: Array, names: Sequence[str]
    ) -> differences.Estimate:
        """Derivatives along the directions of some inputs, from values alone."""
        sides: dict[int, list[Array]] = {1: [], -1: []}
        for step in self._precision.steps:
            for sign, values in sides.items():
                moved = {
                    name: (self._feeds[name] + sign * step * self._t[name]).astype(
                        self._feeds[name].dtype
                    )
                    for name in names
                }
                values.append(self._probe(fixed, moved))
        plus, minus = np.array(sides[1]), np.array(sides[-1])
        precision = self._precision
        return differences.extrapolate(at, plus, minus, precision.steps, precision.eps, self._scale)

    def _adjoint(self, base: Mapping[str, Array], tolerance: float) -> Check:
        """<ct, jvp t> and <vjp ct, t>."""
        pairs = [(self._ct[name], base[f"jvp/{name}"]) for name in self._v.outs]
        backs = [(base[f"vjp/{name}"], self._t[name]) for name in self._v.wrt]
        size = sum(_inner(abs(x), abs(y)) for x, y in (*pairs, *backs))
        noise = 1e4 * self._precision.eps * size
        forward, back = (float(sum(_inner(x, y) for x, y in side)) for side in (pairs, backs))
        return _checked(differences.judge(back, forward, 0.0, noise, tolerance))

    def _nodes(
        self, base: Mapping[str, Array], found: differences.Estimate, tolerance: float
    ) -> Iterator[VerifiedNode]:
        v, debug = self._v, self._v.flat.debug
        for k, row in enumerate(v.nodes, start=1):
            forward = _judged(float(base[f"tangent/{row}"]), found, k, tolerance)
            adjoint = None
            if row in v.paired:
                noise = 1e4 * self._precision.eps * float(base[f"size/{row}"])
                pair, sent = float(base[f"pair/{row}"]), float(base[f"sent/{row}"])
                adjoint = _checked(differences.judge(sent, pair, 0.0, noise, tolerance))
            yield VerifiedNode(
                row,
                v.flat.function.ops[row],
                debug.label(row) or "",
                debug.line(row) or "",
                forward,
                adjoint,
            )


def _precision(avals: Sequence[Aval]) -> _Precision:
    least = min(aval.dtype.itemsize for aval in avals)
    return _FULL if least >= 8 else _SINGLE if least == 4 else _HALF


def _direction(rng: np.random.Generator, at: Array) -> Array:
    """A random direction as large as the values themselves; of zeros, as large as one."""
    wide = np.asarray(at, np.float64)
    size = float(np.sqrt(np.mean(np.square(wide)))) if wide.size else 0.0
    drawn = rng.standard_normal(at.shape)
    return np.asarray(drawn * (size if np.isfinite(size) and size > 0 else 1.0), at.dtype)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: DType) -> Array:
    return np.asarray(rng.standard_normal(shape), dtype.numpy)


def _inner(x: Array, y: Array) -> float:
    return float(np.sum(np.multiply(x, y, dtype=np.float64)))


def _judged(slope: float, found: differences.Estimate, k: int, tolerance: float) -> Check:
    value, uncertainty, noise = (float(part[k]) for part in found)
    return _checked(differences.judge(slope, value, uncertainty, noise, tolerance))


def _checked(check: differences.Check) -> Check:
    """As the protocol has it."""
    return Check(
        check.derivative,
        check.estimate,
        check.uncertainty,
        check.error,
        Verdict(int(check.verdict)),
    )


def _worst_first(node: VerifiedNode) -> tuple[bool, float]:
    """Those that differ in the order of the program, since what follows inherits it; then by error."""
    checks = [check for check in (node.adjoint, node.forward) if check is not None]
    if any(c.verdict in (Verdict.DIFFERS, Verdict.NOT_FINITE) for c in checks):
        return False, float(node.node)
    return True, -max(c.error for c in checks)
