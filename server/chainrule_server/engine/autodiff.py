"""Reverse and forward derivatives of a function, as functions.

    vjp : f: x -> y   gives   (x, y_ct) -> (y, x_ct)      x_ct = y_ct . df(x)
    jvp : f: x -> y   gives   (x, x_t)  -> (y, y_t)       y_t  = df(x) . x_t

Both walk the rows of f once and let the op's rule emit its graph, so the result can be differentiated again,
to any order. Un-broadcasting and the accumulation of cotangents are here and nowhere else.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, expand, reduce_sum, reshape, zeros
from chainrule.ir.graph import Debug, Function
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.table import NoDerivative
from chainrule_server.engine.passes.dce import eliminate


class Flat(NamedTuple):
    """A function of primitives, with its labels and source lines."""

    function: Function
    debug: Debug


def vjp(flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Flat:
    """The function's values, then its cotangents.

    Args:
        flat: primitives only.
        wrt: input positions to get a cotangent for.
        outs: output positions that have one; the others' are zero.

    Returns:
        Inputs: those of the function, then one cotangent an entry of `outs`. Outputs: those of the
        function, then one cotangent an entry of `wrt`.
    """
    f = flat.function
    b, rows = _begin(flat, [f.out_avals[i] for i in outs], "ct")
    seeds = rows[f.n_inputs :]
    rows = replay(flat, b, rows[: f.n_inputs])
    cts: dict[int, Expr] = {}
    for k, seed in zip(outs, seeds, strict=True):
        row, ct = f.outputs[k], Expr(b, seed)
        cts[row] = cts[row] + ct if row in cts else ct  # one row may leave twice
    pull_back(flat, b, rows, active_rows(f, wrt), cts)
    found = [cts[i].id if i in cts else zeros(b, f.avals[i]).id for i in wrt]
    outputs = [rows[i] for i in f.outputs]
    return _end(b, f, outputs, found)


def pull_back(
    flat: Flat,
    b: Builder,
    rows: Sequence[int],
    active: set[int],
    cts: dict[int, Expr],
    on_node: Callable[[int, Expr, Sequence[Expr | None]], None] | None = None,
) -> None:
    """The reverse sweep: from the last row to the first, each row's rule is applied exactly once.

    Args:
        flat: the function.
        b: the builder to emit into.
        rows: where the function's rows are in the builder.
        active: rows that a cotangent is wanted for.
        cts: cotangents of outputs by row of the function; those of all active rows afterwards.
        on_node: told of each row, its cotangent and what it sends to each operand.
    """
    f = flat.function
    for row in range(len(f) - 1, f.n_inputs - 1, -1):
        ct = cts.get(row)
        node = f.node(row)
        rule = OPS[node.op].vjp
        if ct is None or row not in active or isinstance(rule, NoDerivative):
            continue
        b.label, b.line = flat.debug.label(row) or "", flat.debug.line(row) or ""
        operands = [Expr(b, rows[i]) for i in node.inputs]
        sent = rule(ct, Expr(b, rows[row]), *operands, **dict(node.attrs))
        summed = [
            unbroadcast(x_ct, f.avals[i]) if x_ct is not None and i in active else None
            for i, x_ct in zip(node.inputs, sent, strict=True)
        ]
        for i, x_ct in zip(node.inputs, summed, strict=True):
            if x_ct is not None:
                cts[i] = cts[i] + x_ct if i in cts else x_ct
        if on_node is not None:
            on_node(row, ct, summed)


def jvp(flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Flat:
    """The function's values, then its tangents.

    Args:
        flat: primitives only.
        wrt: input positions that have a tangent; the others' are zero.
        outs: output positions to get one for.

    Returns:
        Inputs: those of the function, then one tangent an entry of `wrt`. Outputs: those of the function,
        then one tangent an entry of `outs`.
    """
    f = flat.function
    b, rows = _begin(flat, [f.in_avals[i] for i in wrt], "t")
    tangents = {i: Expr(b, rows[f.n_inputs + k]) for k, i in enumerate(wrt)}
    rows = replay(flat, b, rows[: f.n_inputs])
    for node in f:
        if node.op == "Input" or not any(i in tangents for i in node.inputs):
            continue
        rule = OPS[node.op].jvp
        if isinstance(rule, NoDerivative) or not node.aval.dtype.is_float:
            continue
        b.label, b.line = flat.debug.label(node.id) or "", flat.debug.line(node.id) or ""
        operands = [Expr(b, rows[i]) for i in node.inputs]
        given = tuple(tangents.get(i) for i in node.inputs)
        t = rule(given, Expr(b, rows[node.id]), *operands, **dict(node.attrs))
        if t is not None:
            tangents[node.id] = expand(t, node.aval.shape)
    found = [
        tangents[i].id if i in tangents else zeros(b, f.avals[i]).id
        for i in (f.outputs[k] for k in outs)
    ]
    outputs = [rows[i] for i in f.outputs]
    return _end(b, f, outputs, found)


def unbroadcast(ct: Expr, aval: Aval) -> Expr:
    """Sum a cotangent down to the shape of the value it belongs to.

    y = broadcast(x):  x_ct = sum of y_ct over the axes that were added or stretched
    """
    if ct.shape == aval.shape:
        return ct
    lead = ct.aval.rank - aval.rank
    if lead < 0:
        return expand(ct, aval.shape)
    stretched = [i for i, dim in enumerate(aval.shape) if dim == 1 and ct.shape[lead + i] != 1]
    summed = reduce_sum(ct, (*range(lead), *(lead + i for i in stretched)))
    kept = tuple(1 if i in stretched else d for i, d in enumerate(ct.shape[lead:]))
    # A rule may give a cotangent smaller than its input, where the equation itself broadcasts it.
    return expand(reshape(summed, kept), aval.shape)


def _begin(flat: Flat, seeds: Sequence[Aval], kind: str) -> tuple[Builder, list[int]]:
    """A builder whose inputs are those of the function, then the seeds."""
    b = Builder()
    rows = [
        b.input(name, aval)
        for name, aval in zip(flat.function.input_names, flat.function.in_avals, strict=True)
    ]
    # A name with a space is no user's, and its position is no earlier derivative's.
    rows += [b.input(f"{kind} {k}", aval) for k, aval in enumerate(seeds, start=len(rows))]
    return b, rows


def replay(flat: Flat, b: Builder, inputs: Sequence[int]) -> list[int]:
    """Copy the nodes of a function into a builder."""
    rows = list(inputs)
    f = flat.function
    for row in range(f.n_inputs, len(f)):
        b.label, b.line = flat.debug.label(row) or "", flat.debug.line(row) or ""
        rows.append(b.add(f.ops[row], *(rows[i] for i in f.inputs[row]), **dict(f.attrs[row])))
    return rows


def active_rows(f: Function, wrt: Sequence[int]) -> set[int]:
    """Rows through which a derivative with respect to `wrt` flows."""
    active = set(wrt)
    for row in range(f.n_inputs, len(f)):
        if f.avals[row].dtype.is_float and any(i in active for i in f.inputs[row]):
            active.add(row)
    return active


def _end(b: Builder, f: Function, values: Sequence[int], found: Sequence[int]) -> Flat:
    # Outputs go by position from here on, and names of the user's must not meet ours.
    outputs = [*values, *found]
    out = b.finish(outputs, [str(k) for k in range(len(outputs))], f.name)
    return Flat(*eliminate(out, b.debug()))
