"""What a graph IS: frozen functions in columns.

A function is parallel tuples, one row a node, and the id of a value is the index of its row. Rows refer to
smaller rows only, so a cycle can't be written. The first rows are the inputs. A node with several outputs
is followed by `Item(index=k)` rows that name the outputs from 1 on; the node's own row is output 0.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from chainrule.ir.attrs import Attrs, AttrValue
from chainrule.ir.avals import Aval


class Node(NamedTuple):
    """One row, for readers that walk a function."""

    id: int
    op: str
    inputs: tuple[int, ...]
    attrs: Attrs
    aval: Aval

    def attr(self, name: str) -> AttrValue:
        """The value of one attribute."""
        return next(value for key, value in self.attrs if key == name)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of arrays: columns of equal length, and the rows that are its outputs.

    Attributes:
        name: for people; not part of the digest.
        ops, inputs, attrs, avals: one entry a row.
        outputs: rows that leave the function, in order; a row may leave twice.
        output_names: one name an output, unique.
    """

    name: str
    ops: tuple[str, ...]
    inputs: tuple[tuple[int, ...], ...]
    attrs: tuple[Attrs, ...]
    avals: tuple[Aval, ...]
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.ops)

    def node(self, row: int) -> Node:
        """Row `row` as a Node."""
        return Node(row, self.ops[row], self.inputs[row], self.attrs[row], self.avals[row])

    def __iter__(self) -> Iterator[Node]:
        columns = zip(self.ops, self.inputs, self.attrs, self.avals, strict=True)
        for row, (op, inputs, attrs, aval) in enumerate(columns):
            yield Node(row, op, inputs, attrs, aval)

    @property
    def n_inputs(self) -> int:
        """Inputs are the leading rows."""
        return next((i for i, op in enumerate(self.ops) if op != "Input"), len(self.ops))

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs, in order."""
        return tuple(str(self.attrs[i][0][1]) for i in range(self.n_inputs))

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        """Avals of the inputs, in order."""
        return self.avals[: self.n_inputs]

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        """Avals of the outputs, in order."""
        return tuple(self.avals[i] for i in self.outputs)


@dataclass(frozen=True, slots=True)
class Debug:
    """Labels and source lines of one function, beside the graph and outside its digest.

    Attributes:
        labels: one a row, `h`, or "" where there is none.
        lines: one a row, `model.py:12`: base name and line, never a path.
    """

    labels: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    def label(self, row: int) -> str | None:
        """The label of a row, if it has one."""
        return (self.labels[row] or None) if row < len(self.labels) else None

    def line(self, row: int) -> str | None:
        """The source line of a row, if it has one."""
        return (self.lines[row] or None) if row < len(self.lines) else None


@dataclass(frozen=True, slots=True)
class Graph:
    """Functions in order of definition; a `function` attribute is the index of an earlier one.

    Attributes:
        functions: the last one is `main`.
        debug: one a function, or empty.
    """

    functions: tuple[Function, ...]
    debug: tuple[Debug, ...] = field(default=(), compare=False)

    @property
    def main(self) -> Function:
        """The function that a request runs."""
        return self.functions[-1]

    def debug_of(self, function: int) -> Debug:
        """Labels and lines of one function; empty where none came."""
        return self.debug[function] if function < len(self.debug) else Debug()

    @property
    def n_nodes(self) -> int:
        """Rows of all functions."""
        return sum(map(len, self.functions))
