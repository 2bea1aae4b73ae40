"""A flat function: primitives and the loops that stay in a plan, with the bodies that the loops run."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from chainrule.errors import ErrorCode, LimitExceeded
from chainrule.ir.attrs import callees, renumbered
from chainrule.ir.builder import Builder
from chainrule.ir.canonical import renumber
from chainrule.ir.graph import Debug, Function
from chainrule_server.engine.passes.dce import eliminate

# About ten seconds of compiling. The second derivative of a graph of 20,000 nodes takes 580,000.
MAX_FLAT_NODES = 600_000


class Flat(NamedTuple):
    """A function of primitives, with its labels and source lines.

    Attributes:
        function: what runs.
        debug: labels and lines of its rows.
        bodies: functions that its loops name by index; a body names earlier bodies only.
    """

    function: Function
    debug: Debug
    bodies: tuple[Function, ...] = ()

    def body(self, index: int) -> "Flat":
        """A body as a flat function of its own."""
        return Flat(self.bodies[index], Debug(), self.bodies[:index])


def finish(b: Builder, outputs: Sequence[int], names: Sequence[str], name: str) -> Flat:
    """What was built, without dead rows."""
    function, debug = eliminate(b.finish(outputs, names, name), b.debug())
    return Flat(function, debug, b.functions if any(map(callees, function.attrs)) else ())


def define(b: Builder, flat: Flat) -> int:
    """Make a flat function a body of the function under construction."""
    number: dict[int, int] = {}
    for index, body in enumerate(flat.bodies):
        number[index] = b.define(renumber(body, number))
    _bounded(sum(map(len, b.functions)) + len(flat.function))
    return b.define(renumber(flat.function, number))


def inline(b: Builder, flat: Flat, inputs: Sequence[int], line: str = "") -> tuple[int, ...]:
    """Copy a flat function's nodes into a builder; gives the rows of its outputs."""
    rows = list(inputs)
    copier = Copier(b, flat)
    _bounded(len(b) + len(flat.function))
    for row in range(flat.function.n_inputs, len(flat.function)):
        rows.append(copier.copy(row, rows, line))
    return tuple(rows[i] for i in flat.function.outputs)


def tail(flat: Flat, skip: int) -> Flat:
    """The function with its first outputs left out, and what only they needed."""
    f = flat.function
    shorter = replace(f, outputs=f.outputs[skip:], output_names=f.output_names[skip:])
    return Flat(*eliminate(shorter, flat.debug), flat.bodies)


class Copier:
    """Copies rows of a flat function into a builder, bodies and several outputs included."""

    def __init__(self, b: Builder, flat: Flat) -> None:
        self._b = b
        self._flat = flat
        self._number: dict[int, int] = {}
        self._several: dict[int, tuple[int, ...]] = {}
        for index, body in enumerate(flat.bodies):
            self._number[index] = b.define(renumber(body, self._number))

    def copy(self, row: int, rows: Sequence[int] | Mapping[int, int], line: str = "") -> int:
        """Copy one row, whose operands are at `rows`; gives where it is now."""
        f, debug = self._flat.function, self._flat.debug
        if f.ops[row] == "Item":
            node = f.inputs[row][0]
            return self._several[node][int(f.attrs[row][0][1])]  # type: ignore[arg-type]
        self._b.label, self._b.line = debug.label(row) or "", debug.line(row) or line
        inputs = tuple([rows[i] for i in f.inputs[row]])
        if not callees(f.attrs[row]):
            return self._b.repeat(f.ops[row], inputs, f.attrs[row], f.avals[row])
        attrs = renumbered(f.attrs[row], self._number)
        found = self._b.add_multi(f.ops[row], *inputs, **dict(attrs))
        self._several[row] = found
        return found[0]

    def replace(self, row: int, outputs: tuple[int, ...]) -> int:
        """Say where the outputs of a row are that wasn't copied; gives the first."""
        self._several[row] = outputs
        return outputs[0]


def _bounded(nodes: int) -> None:
    if nodes > MAX_FLAT_NODES:
        raise LimitExceeded(
            f"inlined functions come to more than {MAX_FLAT_NODES} nodes",
            code=ErrorCode.TOO_MANY_NODES,
            cure="nest fewer calls and derivatives",
            limit=MAX_FLAT_NODES,
            value=nodes,
        )
