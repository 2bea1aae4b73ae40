"""A function and its derivative at one point: the forward once, then as many vjps and jvps as one likes.

    forward   x -> f(x), r             the residuals r stay with whoever ran it
    vjp       r, y_ct -> x_ct
    jvp       r, x_t -> y_t

Both directions read one set of residuals. A loop goes backwards over what its forward kept; forwards its
tangents are carried by a loop of their own, which goes through its values once more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule.ir.graph import Graph
from chainrule_server.engine.autodiff import jvp, vjp
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Flat, finish, inline, tail
from chainrule_server.engine.linear import chosen, cut
from chainrule_server.engine.many import check_wrt
from chainrule_server.engine.program import Port, Program
from chainrule_server.engine.requests import Kind, out_positions, positions
from chainrule_server.engine.structure import flatten
from chainrule_server.engine.sweep import given, sweep

RESIDUAL = "residual/"
_SEEDS = {Kind.VJP: "ct", Kind.JVP: "t"}
# Compiled derivatives that are remembered: one a direction, and one a number of lanes.
_PROGRAMS = 16


@dataclass(frozen=True)
class Linearized:
    """A forward, and the derivatives that go with its residuals.

    Attributes:
        forward: `value/<output>` and `residual/<k>` from the inputs.
        wrt, outs: names that derivatives are of.
        backwards, forwards: residuals and `ct/<output>` to `vjp/<input>`, and residuals and `t/<input>` to
            `jvp/<output>`.
        microshard: as compiled with; 0: the table.
    """

    forward: Program
    wrt: tuple[str, ...]
    outs: tuple[str, ...]
    backwards: Flat
    forwards: Flat
    microshard: int
    _programs: dict[tuple[Kind, int], Program] = field(
        default_factory=dict, compare=False, repr=False
    )

    @property
    def residuals(self) -> tuple[Port, ...]:
        """What the forward leaves."""
        return tuple(p for p in self.forward.outputs if p.name.startswith(RESIDUAL))

    def derivative(self, kind: Kind, lanes: int = 0) -> Program:
        """The program of a vjp or jvp at the residuals; with lanes of that many seeds at once."""
        if (kind, lanes) not in self._programs:
            if len(self._programs) > _PROGRAMS:
                self._programs.clear()
            flat = self.backwards if kind is Kind.VJP else self.forwards
            flat = _over_lanes(flat, lanes) if lanes else flat
            self._programs[kind, lanes] = compile_flat(flat, microshard=self.microshard or None)
        return self._programs[kind, lanes]

    def seeds(self, kind: Kind) -> tuple[str, ...]:
        """Names of what a derivative takes: outputs or inputs."""
        return self.outs if kind is Kind.VJP else self.wrt

    def results(self, kind: Kind) -> tuple[str, ...]:
        """Names of what it gives."""
        return self.wrt if kind is Kind.VJP else self.outs


def linearize(
    graph: Graph, wrt: Sequence[str], outs: Sequence[str], microshard: int = 0
) -> Linearized:
    """Cut a checked graph's derivatives at their residuals.

    Args:
        graph: checked.
        wrt: names of inputs; none means every floating-point one.
        outs: names of outputs; none means every floating-point one.
        microshard: rows of a microshard; 0: the table of the release.

    Raises:
        GraphError: names that are not there, or that have no derivative.
    """
    flat = flatten(graph)
    f = flat.function
    names = tuple(wrt) or tuple(
        n for n, a in zip(f.input_names, f.in_avals, strict=True) if a.dtype.is_float
    )
    ins, ends = positions(f, names), out_positions(f, outs)
    check_wrt(f, ins, ends)
    out_names = tuple(f.output_names[k] for k in ends)
    back, push = vjp(flat, ins, ends), tail(jvp(flat, ins, ends), len(f.outputs))
    b = Builder()
    primals = [b.input(n, a) for n, a in zip(f.input_names, f.in_avals, strict=True)]
    cts = [b.input(f"ct/{n}", f.out_avals[k]) for n, k in zip(out_names, ends, strict=True)]
    ts = [b.input(f"t/{n}", f.in_avals[i]) for n, i in zip(names, ins, strict=True)]
    rows = (*inline(b, back, [*primals, *cts]), *inline(b, push, [*primals, *ts]))
    called = [f"value/{n}" for n in f.output_names]
    called += [f"vjp/{n}" for n in names] + [f"jvp/{n}" for n in out_names]
    parts = cut(finish(b, rows, called, f.name), f.n_inputs, len(f.outputs))
    return Linearized(
        compile_flat(parts.forward, microshard=microshard or None),
        names,
        out_names,
        chosen(parts.linear, range(len(names))),
        chosen(parts.linear, range(len(names), len(names) + len(out_names))),
        microshard,
    )


def _over_lanes(flat: Flat, lanes: int) -> Flat:
    """Residuals as they are, seeds and results with a leading axis."""
    f = flat.function
    b = Builder()
    consts, seeds = [], []
    for name, aval in zip(f.input_names, f.in_avals, strict=True):
        if name.startswith(RESIDUAL):
            consts.append(b.input(name, aval))
        else:
            stacked = Aval(aval.dtype, (lanes, *aval.shape))
            seeds.append(Expr(b, b.input(name, stacked)))
    found = sweep(b, flat, consts, given(seeds, lanes))
    return finish(b, [e.id for e in found], f.output_names, f.name)


def seed_name(kind: Kind, name: str) -> str:
    """How a derivative's program calls a seed."""
    return f"{_SEEDS[kind]}/{name}"
