"""A gradient shown node by node: value, local derivatives, incoming and outgoing cotangents."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.ir.drawing import Box, draw
from chainrule.wire.records import Notice

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedEdge:
    """One input of a node.

    Attributes:
        input: the node that the input is.
        rule: the local derivative in words of mathematics.
        local: the same in numbers, where it is elementwise and small; else None.
        outgoing: the cotangent that the node sends back to the input; None where none flows.
    """

    input: int
    rule: str
    local: Array | None
    outgoing: Array | None


@dataclass(frozen=True, slots=True, eq=False)
class ExplainedNode:
    """One node.

    Attributes:
        node: its number.
        op: its primitive or library function.
        label, line: what it is called in the source, and where.
        aval: dtype and shape, `float64[2,3]`.
        value: what the forward pass gave.
        incoming: the cotangent, summed over the nodes that use the value; None where none flows.
        edges: one an input.
    """

    node: int
    op: str
    label: str
    line: str
    aval: str
    value: Array | None
    incoming: Array | None
    edges: tuple[ExplainedEdge, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """The chain rule of one function at one point.

    Attributes:
        nodes: in order of evaluation.
        text: a table for reading, as the server made it.
        notices: what is worth knowing.
    """

    nodes: tuple[ExplainedNode, ...]
    text: str
    notices: tuple[Notice, ...] = ()

    def to_text(self) -> str:
        """The table."""
        return self.text

    def __repr__(self) -> str:
        return self.text

    def __len__(self) -> int:
        return len(self.nodes)

    def to_svg(self) -> str:
        """The graph as a picture: boxes with value and cotangent, edges with local derivatives."""
        # A constant that no derivative flows to would stand beside the picture, tied to nothing.
        return draw([_box(node) for node in self.nodes if node.op != "Constant"])

    def to_html(self) -> str:
        """The picture and the table, self-contained and without scripts."""
        table = html.escape(self.text)
        return f"<div>{self.to_svg()}<pre style='overflow-x:auto'>{table}</pre></div>"

    def _repr_html_(self) -> str:
        return self.to_html()

    def save(self, path: str | Path) -> None:
        """Writes the picture (.svg), the page (.html) or the table (anything else)."""
        target = Path(path)
        forms = {".svg": self.to_svg, ".html": self.to_html}
        target.write_text(forms.get(target.suffix, self.to_text)())


def number_text(array: Array | None) -> str:
    """An array in a few characters: `0.5`, `[1, 2]`, `[0.1, 0.2, ...]`."""
    if array is None:
        return "-"
    shown = ", ".join(f"{x:.5g}" for x in array.reshape(-1)[:3].tolist())
    if array.ndim == 0:
        return shown
    return f"[{shown}{', ...' if array.size > 3 else ''}]"


def _box(node: ExplainedNode) -> Box:
    return Box(
        node.node,
        f"{node.node} {node.op}" + (f"  {node.label}" if node.label else ""),
        f"{number_text(node.value)}   ct {number_text(node.incoming)}",
        f"{node.aval} {node.line}",
        tuple((e.input, _word(e)) for e in node.edges),
    )


def _word(edge: ExplainedEdge) -> str:
    return edge.rule + (f" = {number_text(edge.local)}" if edge.local is not None else "")
