"""From a concrete function to a plan: what runs in which order, and where every value lies.

All memory is decided here. Every computed value has an offset in one arena; a value that moves nothing is a
view; an elementwise result takes over the buffer of an operand at its last use. The arena is as large as the
values that live at the same time, and the run allocates nothing but what a kernel declares as workspace.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.ir.graph import Function
from chainrule_server.engine.arena import Arena, aligned
from chainrule_server.engine.loops.cost import items_of, loop_bytes, loop_flops, plan_bodies
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.ops.table import Array, phantom

__all__ = ["Home", "Plan", "aligned", "plan_function"]

LEAVES = ("Constant", "Iota")


class Home(NamedTuple):
    """Where a value lies.

    kind: `input` (k-th input), `output` (k-th output buffer), `arena` (byte offset), `leaf` (filled once),
    `view` (of row `at`).
    """

    kind: str
    at: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A function made ready to run.

    Attributes:
        function: concrete.
        homes: one a row; None for rows that nothing reads.
        order: rows to execute, leaves and views left out.
        copies: (output, row) pairs copied at the end: an output that is an input or a view, or leaves twice.
        arena_bytes: scratch memory of one run, reused from run to run.
        leaf_bytes: constants that are not filled arrays.
        workspace_bytes: the most that one kernel allocates inside.
        flops: of one run; of a loop that may end early, an upper bound.
        nested: plans of the bodies of each loop.
    """

    function: Function
    homes: tuple[Home | None, ...]
    order: tuple[int, ...]
    copies: tuple[tuple[int, int], ...]
    arena_bytes: int
    leaf_bytes: int
    workspace_bytes: int
    flops: int
    nested: Mapping[int, tuple["Plan", ...]] = field(default_factory=dict)

    @property
    def scratch_bytes(self) -> int:
        """Everything beyond inputs and outputs."""
        return self.arena_bytes + self.leaf_bytes + self.workspace_bytes


def plan_function(function: Function, bodies: tuple[Function, ...] = ()) -> Plan:
    """Schedule in row order, which is the order of the program; place every value.

    Cost: linear in rows, but for the free list of the arena.

    Args:
        function: concrete.
        bodies: what its loops name, concrete.
    """
    nested = plan_bodies(function, bodies, plan_function)
    items = items_of(function)
    roots, layouts = _layouts(function)
    last = _last_uses(function, roots)
    homes: list[Home | None] = [None] * len(function)
    for i in range(function.n_inputs):
        homes[i] = Home("input", i)
    copies = _place_outputs(function, roots, homes)
    arena = Arena()
    held: dict[int, tuple[int, int]] = {}  # root row -> (offset, bytes) in the arena
    order: list[int] = []
    leaf_bytes = workspace = flops = 0
    for row in range(function.n_inputs, len(function)):
        op, inputs, attrs, aval = function.node(row)[1:]
        if last[roots[row]] < row and row not in function.outputs and roots[row] == row:
            continue
        if op == "Item":
            pass  # placed with its node
        elif op in LEAVES:
            homes[row] = Home("leaf", row)
            leaf_bytes += _leaf_bytes(function, row)
        elif roots[row] != row:
            homes[row] = Home("view", inputs[0])
        else:
            order.append(row)
            in_avals = tuple(function.avals[i] for i in inputs)
            given = dict(attrs)
            if row in nested:
                flops += loop_flops(op, given, nested[row])
                leaf_bytes += loop_bytes(op, given, nested[row])
            else:
                flops += OPS[op].cost(in_avals, aval, given)
                lying = tuple(layouts[i] for i in inputs)
                workspace = max(workspace, OPS[op].workspace(lying, layouts[row], given))
            for out in (row, *items.get(row, ())):
                if homes[out] is not None:
                    continue
                taken = _takes_over(function, row, roots, last, held) if out == row else None
                size = function.avals[out].nbytes
                held[out] = held.pop(taken) if taken is not None else (arena.take(size), size)
                homes[out] = Home("arena", held[out][0])
        ends = {roots[i] for i in inputs} | {roots[i] for i in (row, *items.get(row, ()))}
        for root in ends:
            if last[root] <= row and root in held:
                arena.give(*held.pop(root))
    return Plan(
        function,
        tuple(homes),
        tuple(order),
        copies,
        arena.peak,
        leaf_bytes,
        workspace,
        flops,
        nested,
    )


def _layouts(function: Function) -> tuple[list[int], list[Array]]:
    """For each row the row whose memory it shows (itself, unless it is a view), and its strides."""
    roots = list(range(len(function)))
    layouts: list[Array] = []
    for row in range(len(function)):
        op, inputs, attrs, aval = function.node(row)[1:]
        layout = None
        view = OPS[op].view if op in OPS else None
        if view is not None:
            layout = view(layouts[inputs[0]], dict(attrs), aval.dims)
        if layout is not None:
            roots[row] = roots[inputs[0]]
        elif op == "Constant":
            data = dict(attrs)["data"]
            assert isinstance(data, bytes)
            filled = len(data) == aval.dtype.itemsize
            layout = np.broadcast_to(np.empty((), aval.dtype.numpy), aval.dims) if filled else None
        layouts.append(phantom(aval) if layout is None else layout)
    return roots, layouts


def _last_uses(function: Function, roots: list[int]) -> list[int]:
    """For each root the last row that reads it or a view of it; the end for outputs that are copied."""
    last = [-1] * len(function)
    for row, inputs in enumerate(function.inputs):
        for i in inputs:
            last[roots[i]] = row
    for row in function.outputs:
        last[roots[row]] = len(function)
    return last


def _place_outputs(
    function: Function, roots: list[int], homes: list[Home | None]
) -> tuple[tuple[int, int], ...]:
    """Outputs are computed where they are wanted, where that can be; the rest is copied at the end."""
    copies = []
    for k, row in enumerate(function.outputs):
        fresh = homes[row] is None and roots[row] == row and function.ops[row] not in LEAVES
        if fresh:
            homes[row] = Home("output", k)
        else:
            copies.append((k, row))
    return tuple(copies)


def _takes_over(
    function: Function,
    row: int,
    roots: list[int],
    last: list[int],
    held: dict[int, tuple[int, int]],
) -> int | None:
    """The operand whose buffer the result may have: its last use, in the arena, of equal size and whole."""
    op, inputs, _, aval = function.node(row)[1:]
    for position in OPS[op].inplace if op in OPS else ():
        if position >= len(inputs):
            continue
        i = inputs[position]
        others = [j for j in inputs if j != i]
        if (
            roots[i] == i
            and i in held
            and last[i] == row
            and held[i][1] == aval.nbytes
            and function.avals[i] == aval
            and not any(roots[j] == i for j in others)
        ):
            return i
    return None


def _leaf_bytes(function: Function, row: int) -> int:
    """A filled constant is one element that is read with stride 0; an Iota is written out."""
    aval: Aval = function.avals[row]
    if function.ops[row] == "Iota":
        return aligned(aval.nbytes)
    data = dict(function.attrs[row])["data"]
    return aligned(len(data)) if isinstance(data, bytes) else 0
