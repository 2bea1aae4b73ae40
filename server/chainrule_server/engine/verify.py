"""What is computed to hold a derivative against values: two programs, neither of which knows the answer.

    base    everything at the point: cotangents, tangents, and for each node <w, t>, <ct, t> and what it sends
            back times the tangents of its operands
    probe   values alone, at points beside it: <ct, f(x)>, and <w, value> for each node

With fixed weights w a node is one number, so its tangent can be held against differences of that number,
and its rule backwards against its rule forwards: <ct, t> = sum over operands <sent, t>. What StopGradient
gives is held as it is at the point, since by its meaning it doesn't move.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from chainrule.ir.avals import DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, cast, cos, reduce_sum, zeros
from chainrule.ir.graph import Graph
from chainrule_server.engine.autodiff import active_rows, pull_back, push_forward, replay
from chainrule_server.engine.compiler import compile_flat
from chainrule_server.engine.flat import Copier, Flat, finish
from chainrule_server.engine.many import check_wrt
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import out_positions, positions
from chainrule_server.engine.structure import flatten

# More nodes than anybody would read; of a larger function only the whole is looked at.
MAX_NODES = 2_000
_LEAVES = ("Input", "Constant", "Iota", "DimSize", "Item")


@dataclass(frozen=True)
class Verification:
    """Two programs and how to read them.

    Attributes:
        base: feeds `t/<input>` and `ct/<output>` beside those of the graph; gives `value/<output>`,
            `jvp/<output>`, `vjp/<input>`, `frozen/<row>`, and of each node `tangent/<row>`, `scale/<row>`,
            `pair/<row>`, `sent/<row>`, `size/<row>`.
        probe: feeds `ct/<output>` and `frozen/<row>`; gives `total` and `node/<row>`.
        flat: the function whose rows these are.
        wrt, outs: names that are looked at.
        nodes: rows that are looked at.
        paired: those of them that send something back.
    """

    base: Program
    probe: Program
    flat: Flat
    wrt: tuple[str, ...]
    outs: tuple[str, ...]
    nodes: tuple[int, ...]
    paired: tuple[int, ...]


def verification(graph: Graph, wrt: Sequence[str], outs: Sequence[str]) -> Verification:
    """Prepare a check of the derivatives of a checked graph.

    Args:
        graph: checked.
        wrt: names of inputs; none means every floating-point one.
        outs: names of outputs; none means every floating-point one.

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
    active = active_rows(f, ins)
    nodes = tuple(
        row
        for row in range(f.n_inputs, len(f))
        if row in active and f.avals[row].dtype.is_float and f.ops[row] not in _LEAVES
    )
    nodes = nodes if len(nodes) <= MAX_NODES else ()
    base, paired = _base(flat, names, ins, out_names, ends, nodes)
    probe = _probe(flat, out_names, ends, nodes)
    return Verification(base, probe, flat, names, out_names, nodes, paired)


def _base(
    flat: Flat,
    names: Sequence[str],
    ins: Sequence[int],
    out_names: Sequence[str],
    ends: Sequence[int],
    nodes: Sequence[int],
) -> tuple[Program, tuple[int, ...]]:
    f = flat.function
    b = Builder()
    primals = [b.input(n, a) for n, a in zip(f.input_names, f.in_avals, strict=True)]
    given = {i: Expr(b, b.input(f"t/{n}", f.in_avals[i])) for i, n in zip(ins, names, strict=True)}
    seeds = [
        Expr(b, b.input(f"ct/{n}", f.out_avals[k])) for n, k in zip(out_names, ends, strict=True)
    ]
    tangents = dict(given)
    push_forward(flat, b, list(primals), tangents)
    active = active_rows(f, ins)
    again = replay(flat, b, primals, active)
    cts: dict[int, Expr] = {}
    for k, seed in zip(ends, seeds, strict=True):
        row = f.outputs[k]
        cts[row] = cts[row] + seed if row in cts else seed
    sent: dict[int, Sequence[Expr | None]] = {}

    def record(row: int, ct: Expr, summed: Sequence[Expr | None]) -> None:
        del ct
        sent[row] = summed

    pull_back(flat, b, again, active, cts, record)
    out: dict[str, Expr] = {}
    for k, name in enumerate(f.output_names):
        out[f"value/{name}"] = Expr(b, again.rows[f.outputs[k]])
    for k, name in zip(ends, out_names, strict=True):
        row = f.outputs[k]
        out[f"jvp/{name}"] = tangents[row] if row in tangents else zeros(b, f.avals[row])
    for i, name in zip(ins, names, strict=True):
        out[f"vjp/{name}"] = cts[i] if i in cts else zeros(b, f.avals[i])
    for row in _frozen(f.ops):
        out[f"frozen/{row}"] = Expr(b, again.rows[row])
    paired = tuple(row for row in nodes if row in sent)
    for row in nodes:
        moved = tangents[row] if row in tangents else zeros(b, f.avals[row])
        out[f"tangent/{row}"] = _weighed(moved, row)
        out[f"scale/{row}"] = _scale(Expr(b, again.rows[row]))
    for row in paired:
        every = (row, *(i for i, op in enumerate(f.ops) if op == "Item" and f.inputs[i] == (row,)))
        pairs = [(cts.get(i), tangents.get(i)) for i in every]
        out[f"pair/{row}"] = _sum(b, pairs)
        operands = [(ct, tangents.get(i)) for ct, i in zip(sent[row], f.inputs[row], strict=True)]
        out[f"sent/{row}"] = _sum(b, operands)
        out[f"size/{row}"] = _sum(b, [(_abs(x), _abs(y)) for x, y in (*pairs, *operands)])
    flat_base = finish(b, [e.id for e in out.values()], list(out), "base")
    return compile_flat(flat_base), paired


def _probe(
    flat: Flat, out_names: Sequence[str], ends: Sequence[int], nodes: Sequence[int]
) -> Program:
    f = flat.function
    b = Builder()
    rows = [b.input(n, a) for n, a in zip(f.input_names, f.in_avals, strict=True)]
    seeds = [
        Expr(b, b.input(f"ct/{n}", f.out_avals[k])) for n, k in zip(out_names, ends, strict=True)
    ]
    frozen = {row: b.input(f"frozen/{row}", f.avals[row]) for row in _frozen(f.ops)}
    copier = Copier(b, flat)
    for row in range(f.n_inputs, len(f)):
        rows.append(frozen[row] if row in frozen else copier.copy(row, rows))
    values = [(Expr(b, rows[f.outputs[k]]), seed) for k, seed in zip(ends, seeds, strict=True)]
    out = {"total": _sum(b, values)}
    out |= {f"node/{row}": _weighed(Expr(b, rows[row]), row) for row in nodes}
    return compile_flat(finish(b, [e.id for e in out.values()], list(out), "probe"))


def _frozen(ops: Sequence[str]) -> tuple[int, ...]:
    return tuple(row for row, op in enumerate(ops) if op == "StopGradient")


def _weighed(x: Expr, salt: int) -> Expr:
    """<w, x>, with weights that are no symmetry of anything: w = cos(salt + sum of 1.37 (axis + 1) i)."""
    x = cast(x, DType.FLOAT64)
    if not x.aval.rank:
        return x
    phase: Expr | None = None
    for axis, dim in enumerate(x.shape):
        shape = tuple(dim if k == axis else 1 for k in range(x.aval.rank))
        index = Expr(x.b, x.b.add("Iota", dtype=DType.FLOAT64, shape=shape, axis=axis))
        part = index * (1.37 * (axis + 1))
        phase = part if phase is None else phase + part
    assert phase is not None
    return reduce_sum(x * cos(phase + float(salt)), range(x.aval.rank))


def _scale(x: Expr) -> Expr:
    """The Euclidean length, squared: what rounding in each element comes to in a sum of all."""
    wide = cast(x, DType.FLOAT64)
    return reduce_sum(wide * wide, range(wide.aval.rank))


def _abs(x: Expr | None) -> Expr | None:
    return None if x is None else abs(x)


def _sum(b: Builder, pairs: Sequence[tuple[Expr | None, Expr | None]]) -> Expr:
    """The inner product of two lists of values, in float64."""
    total = Expr(b, b.constant(0.0, DType.FLOAT64))
    for x, y in pairs:
        if x is not None and y is not None:
            product = cast(x, DType.FLOAT64) * cast(y, DType.FLOAT64)
            total = total + reduce_sum(product, range(product.aval.rank))
    return total
