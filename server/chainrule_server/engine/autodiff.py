"""Reverse and forward derivatives of a function, as functions.

    vjp : f: x -> y   gives   (x, y_ct) -> (y, x_ct)      x_ct = y_ct . df(x)
    jvp : f: x -> y   gives   (x, x_t)  -> (y, y_t)       y_t  = df(x) . x_t

Both walk the rows of f once and let the op's rule emit its graph, so the result can be differentiated again,
to any order. Un-broadcasting and the accumulation of cotangents are here and nowhere else.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, expand, reduce_sum, reshape, zeros
from chainrule.ir.graph import Function
from chainrule_server.engine.flat import Copier, Flat, finish
from chainrule_server.engine.loops.rule import Derive, Node
from chainrule_server.engine.loops.table import RULES
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.table import NoDerivative


class Replay(NamedTuple):
    """A function copied into a builder, ready to be gone through backwards.

    Attributes:
        rows: where each row is now.
        inside: what a structure node's rule keeps for the way back, by row.
    """

    rows: list[int]
    inside: dict[int, object]


def vjp(flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Flat:
    """The function's values, then its cotangents.

    Args:
        flat: primitives and structure with rules of its own.
        wrt: input positions to get a cotangent for.
        outs: output positions that have one; the others' are zero.

    Returns:
        Inputs: those of the function, then one cotangent an entry of `outs`. Outputs: those of the
        function, then one cotangent an entry of `wrt`.
    """
    f = flat.function
    b, rows = _begin(flat, [f.out_avals[i] for i in outs], "ct")
    seeds = rows[f.n_inputs :]
    active = active_rows(f, wrt)
    again = replay(flat, b, rows[: f.n_inputs], active)
    cts: dict[int, Expr] = {}
    for k, seed in zip(outs, seeds, strict=True):
        row, ct = f.outputs[k], Expr(b, seed)
        cts[row] = cts[row] + ct if row in cts else ct  # one row may leave twice
    pull_back(flat, b, again, active, cts)
    found = [cts[i].id if i in cts else zeros(b, f.avals[i]).id for i in wrt]
    outputs = [again.rows[i] for i in f.outputs]
    return _end(b, [*outputs, *found], f.name)


def pull_back(
    flat: Flat,
    b: Builder,
    again: Replay,
    active: set[int],
    cts: dict[int, Expr],
    on_node: Callable[[int, Expr, Sequence[Expr | None]], None] | None = None,
) -> None:
    """The reverse sweep: from the last row to the first, each row's rule is applied exactly once.

    Args:
        flat: the function.
        b: the builder to emit into.
        again: the function in the builder.
        active: rows that a cotangent is wanted for.
        cts: cotangents of outputs by row of the function; those of all active rows afterwards.
        on_node: told of each row, its cotangent and what it sends to each operand.
    """
    f = flat.function
    items = _items(f)
    for row in range(len(f) - 1, f.n_inputs - 1, -1):
        op = f.ops[row]
        if op == "Item" or row not in active:
            continue
        outputs = (row, *items.get(row, ()))
        given = [cts.get(i) for i in outputs]
        if all(ct is None for ct in given):
            continue
        b.label, b.line = flat.debug.label(row) or "", flat.debug.line(row) or ""
        sent = _send(flat, b, again, active, row, outputs, given)
        if sent is None:
            continue
        summed = [
            unbroadcast(x_ct, f.avals[i]) if x_ct is not None and i in active else None
            for i, x_ct in zip(f.inputs[row], sent, strict=True)
        ]
        for i, x_ct in zip(f.inputs[row], summed, strict=True):
            if x_ct is not None:
                cts[i] = cts[i] + x_ct if i in cts else x_ct
        if on_node is not None and given[0] is not None:
            on_node(row, given[0], summed)


def _send(
    flat: Flat,
    b: Builder,
    again: Replay,
    active: set[int],
    row: int,
    outputs: tuple[int, ...],
    given: list[Expr | None],
) -> Sequence[Expr | None] | None:
    """What a node sends to its operands; None where it has no derivative."""
    node = flat.function.node(row)
    operands = tuple(Expr(b, again.rows[i]) for i in node.inputs)
    attrs = dict(node.attrs)
    if node.op in RULES:
        described = Node(attrs, flat, operands, tuple(i in active for i in node.inputs))
        rows, inside = cast(tuple[tuple[int, ...], object], again.inside[row])
        cts: list[Expr | None] = [None] * len(rows)
        for i, ct in zip(outputs, given, strict=True):
            cts[_index(flat.function, i)] = ct
        return RULES[node.op].vjp(b, described, rows, inside, cts, _DERIVE)
    rule = OPS[node.op].vjp
    if isinstance(rule, NoDerivative):
        return None
    every = b.outputs_of(again.rows[row])
    if len(every) > 1:
        all_cts: list[Expr | None] = [None] * len(every)
        for i, ct in zip(outputs, given, strict=True):
            all_cts[_index(flat.function, i)] = ct
        outs = tuple(Expr(b, i) for i in every)
        return cast(Sequence[Expr | None], rule(tuple(all_cts), outs, *operands, **attrs))
    return rule(given[0], Expr(b, again.rows[row]), *operands, **attrs)


def jvp(flat: Flat, wrt: Sequence[int], outs: Sequence[int]) -> Flat:
    """The function's values, then its tangents.

    Args:
        flat: primitives and structure with rules of its own.
        wrt: input positions that have a tangent; the others' are zero.
        outs: output positions to get one for.

    Returns:
        Inputs: those of the function, then one tangent an entry of `wrt`. Outputs: those of the function,
        then one tangent an entry of `outs`.
    """
    f = flat.function
    b, rows = _begin(flat, [f.in_avals[i] for i in wrt], "t")
    tangents: dict[int, Expr] = {i: Expr(b, rows[f.n_inputs + k]) for k, i in enumerate(wrt)}
    rows = rows[: f.n_inputs]
    push_forward(flat, b, rows, tangents)
    found_rows = [
        tangents[i].id if i in tangents else zeros(b, f.avals[i]).id
        for i in (f.outputs[k] for k in outs)
    ]
    outputs_now = [rows[i] for i in f.outputs]
    return _end(b, [*outputs_now, *found_rows], f.name)


def push_forward(flat: Flat, b: Builder, rows: list[int], tangents: dict[int, Expr]) -> None:
    """The forward sweep: each row, and its tangent where it moves, from the first to the last.

    Args:
        flat: the function.
        b: the builder to emit into.
        rows: the inputs in the builder; every row afterwards.
        tangents: of inputs, by row; of all rows that move afterwards.
    """
    f = flat.function
    copier, items = Copier(b, flat), _items(f)
    for row in range(f.n_inputs, len(f)):
        node = f.node(row)
        if node.op == "Item":
            rows.append(copier.copy(row, rows))
            continue
        given = tuple(tangents.get(i) for i in node.inputs)
        moves = any(t is not None for t in given)
        b.label, b.line = flat.debug.label(row) or "", flat.debug.line(row) or ""
        if node.op in RULES and moves:
            operands = tuple(Expr(b, rows[i]) for i in node.inputs)
            described = Node(dict(node.attrs), flat, operands, tuple(t is not None for t in given))
            outputs, found = RULES[node.op].jvp(b, described, given, _DERIVE)
            rows.append(copier.replace(row, outputs))
            for i in (row, *items.get(row, ())):
                t = found[_index(f, i)]
                if t is not None:
                    tangents[i] = t
            continue
        rows.append(copier.copy(row, rows))
        if moves:
            _push(b, flat, rows, row, (row, *items.get(row, ())), given, tangents)


def _push(
    b: Builder,
    flat: Flat,
    rows: Sequence[int],
    row: int,
    outputs: tuple[int, ...],
    given: tuple[Expr | None, ...],
    tangents: dict[int, Expr],
) -> None:
    """The tangents of a primitive's outputs."""
    node = flat.function.node(row)
    rule = OPS[node.op].jvp
    if isinstance(rule, NoDerivative):
        return
    operands = [Expr(b, rows[i]) for i in node.inputs]
    attrs = dict(node.attrs)
    every = b.outputs_of(rows[row])
    if len(every) > 1:
        outs = tuple(Expr(b, i) for i in every)
        found = cast(Sequence[Expr | None], rule(given, outs, *operands, **attrs))
        for i in outputs:
            t = found[_index(flat.function, i)]
            if t is not None:
                tangents[i] = t
    elif node.aval.dtype.is_float:
        t = rule(given, Expr(b, rows[row]), *operands, **attrs)
        if t is not None:
            tangents[row] = expand(t, node.aval.shape)


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


def replay(flat: Flat, b: Builder, inputs: Sequence[int], active: set[int] | None = None) -> Replay:
    """Copy the nodes of a function into a builder; active structure nodes so that their rule can go back."""
    f = flat.function
    rows = list(inputs)
    inside: dict[int, object] = {}
    copier = Copier(b, flat)
    for row in range(f.n_inputs, len(f)):
        if f.ops[row] in RULES and active is not None and row in active:
            b.label, b.line = flat.debug.label(row) or "", flat.debug.line(row) or ""
            operands = tuple(Expr(b, rows[i]) for i in f.inputs[row])
            node = Node(
                dict(f.attrs[row]), flat, operands, tuple(i in active for i in f.inputs[row])
            )
            outputs, kept = RULES[f.ops[row]].forward(b, node, _DERIVE)
            inside[row] = (outputs, kept)
            rows.append(copier.replace(row, outputs))
        else:
            rows.append(copier.copy(row, rows))
    return Replay(rows, inside)


def active_rows(f: Function, wrt: Sequence[int]) -> set[int]:
    """Rows through which a derivative with respect to `wrt` flows."""
    active, items = set(wrt), _items(f)
    for row in range(f.n_inputs, len(f)):
        flows = f.avals[row].dtype.is_float or any(
            f.avals[i].dtype.is_float for i in items.get(row, ())
        )
        if flows and any(i in active for i in f.inputs[row]):
            active.add(row)
    return active


def _items(f: Function) -> dict[int, tuple[int, ...]]:
    """The Item rows of each node that has several outputs."""
    found: dict[int, tuple[int, ...]] = {}
    for row, op in enumerate(f.ops):
        if op == "Item":
            found[f.inputs[row][0]] = (*found.get(f.inputs[row][0], ()), row)
    return found


def _index(f: Function, row: int) -> int:
    """Which output of its node a row is."""
    return cast(int, f.attrs[row][0][1]) if f.ops[row] == "Item" else 0


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


def _end(b: Builder, outputs: Sequence[int], name: str) -> Flat:
    # Outputs go by position from here on, and names of the user's must not meet ours.
    return finish(b, outputs, [str(k) for k in range(len(outputs))], name)


class _Derivatives:
    """This module, as rules see it."""

    vjp = staticmethod(vjp)
    jvp = staticmethod(jvp)


_DERIVE: Derive = cast(Derive, _Derivatives)
