"""The last step before a plan: what stays of structure is put in place, and bodies stand on their own.

Checkpoint and CustomVjp have done their work once all derivatives are taken: their inside is inlined. A body
may run on a part of the batch, where DimSize and an Iota along the batch mean the whole of it; so these
leaves are lifted out of bodies and come in as constants of the loop.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

from chainrule.ir.attrs import Attrs, AttrValue
from chainrule.ir.avals import Aval, BatchDim
from chainrule.ir.builder import Builder
from chainrule.ir.graph import Node
from chainrule_server.engine.flat import Copier, Flat, define, finish, inline
from chainrule_server.engine.loops.table import LOOPS
from chainrule_server.engine.passes.simplify import simplify


class Leaf(NamedTuple):
    """A value of the whole batch."""

    op: str
    attrs: Attrs
    aval: Aval


class Closed(NamedTuple):
    """A lowered function; its lifted leaves are inputs behind its own."""

    flat: Flat
    leaves: tuple[Leaf, ...]


def lower(flat: Flat) -> Flat:
    """The function, simplified, with loops as its only structure."""
    return _close(flat, top=True).flat


def _close(flat: Flat, top: bool) -> Closed:
    flat = simplify(_in_place(flat))
    f = flat.function
    bodies = [_close(flat.body(i), top=False) for i in range(len(flat.bodies))]
    wanted: dict[Leaf, None] = {}
    for node in f:
        if node.op in LOOPS:
            wanted |= dict.fromkeys(_leaves_of(node, bodies))
        elif not top and _of_batch(node):
            wanted[Leaf(node.op, node.attrs, node.aval)] = None
    b = Builder()
    rows = [b.input(n, a) for n, a in zip(f.input_names, f.in_avals, strict=True)]
    leaves = tuple(wanted)
    if top:
        at = {leaf: b.add(leaf.op, **dict(leaf.attrs)) for leaf in leaves}
    else:
        at = {leaf: b.input(f"lifted/{k}", leaf.aval) for k, leaf in enumerate(leaves)}
    copier = Copier(b, flat)
    for row in range(f.n_inputs, len(f)):
        node = f.node(row)
        if node.op in LOOPS:
            b.label, b.line = flat.debug.label(row) or "", flat.debug.line(row) or ""
            operands = [rows[i] for i in node.inputs]
            rows.append(copier.replace(row, _loop(b, node, operands, bodies, at)))
        elif not top and _of_batch(node):
            rows.append(at[Leaf(node.op, node.attrs, node.aval)])
        else:
            rows.append(copier.copy(row, rows))
    outputs = [rows[i] for i in f.outputs]
    return Closed(finish(b, outputs, f.output_names, f.name), () if top else leaves)


def _leaves_of(node: Node, bodies: Sequence[Closed]) -> tuple[Leaf, ...]:
    """What the bodies of a loop lift, each leaf once."""
    names = [k for k, _ in node.attrs if k in ("function", "otherwise")]
    found = [leaf for k in names for leaf in bodies[cast(int, node.attr(k))].leaves]
    return tuple(dict.fromkeys(found))


def _loop(
    b: Builder,
    node: Node,
    operands: list[int],
    bodies: Sequence[Closed],
    at: dict[Leaf, int],
) -> tuple[int, ...]:
    """A loop over lowered bodies, their leaves among its constants."""
    attrs: dict[str, AttrValue] = dict(node.attrs)
    leaves = _leaves_of(node, bodies)
    # A condition and a limit stand before what the body takes.
    first = 1 if node.op == "Cond" or attrs.get("limit") else 0
    n_consts = cast(int, attrs.get("n_consts", 0))
    operands[first + n_consts : first + n_consts] = [at[leaf] for leaf in leaves]
    for name in ("function", "otherwise"):
        if name in attrs:
            body = bodies[cast(int, attrs[name])]
            attrs[name] = define(b, _with_leaves(body, leaves, n_consts))
    if "n_consts" in attrs:
        attrs["n_consts"] = n_consts + len(leaves)
    return b.add_multi(node.op, *operands, **attrs)


def _with_leaves(body: Closed, leaves: tuple[Leaf, ...], n_consts: int) -> Flat:
    """The body with an input for each leaf behind its constants."""
    f = body.flat.function
    if not leaves:
        return body.flat
    own = f.n_inputs - len(body.leaves)
    b = Builder()
    heads = [b.input(f"v{i}", f.avals[i]) for i in range(n_consts)]
    given = {leaf: b.input(f"lifted/{k}", leaf.aval) for k, leaf in enumerate(leaves)}
    tails = [b.input(f"v{i}", f.avals[i]) for i in range(n_consts, own)]
    rows = inline(b, body.flat, [*heads, *tails, *(given[leaf] for leaf in body.leaves)])
    return finish(b, rows, f.output_names, f.name)


def _in_place(flat: Flat) -> Flat:
    """Checkpoint and CustomVjp inlined, however deep they stand in each other."""
    while any(op in ("Checkpoint", "CustomVjp") for op in flat.function.ops):
        f = flat.function
        b = Builder()
        rows = [b.input(n, a) for n, a in zip(f.input_names, f.in_avals, strict=True)]
        copier = Copier(b, flat)
        for row in range(f.n_inputs, len(f)):
            if f.ops[row] in ("Checkpoint", "CustomVjp"):
                body = flat.body(cast(int, dict(f.attrs[row])["function"]))
                line = flat.debug.line(row) or ""
                found = inline(b, body, [rows[i] for i in f.inputs[row]], line)
                rows.append(copier.replace(row, found))
            else:
                rows.append(copier.copy(row, rows))
        flat = finish(b, [rows[i] for i in f.outputs], f.output_names, f.name)
    return flat


def _of_batch(node: Node) -> bool:
    if node.op == "Iota":
        return isinstance(node.aval.shape[cast(int, node.attr("axis"))], BatchDim)
    return node.op == "DimSize"
