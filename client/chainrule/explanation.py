"""A gradient shown node by node: value, local derivatives, incoming and outgoing cotangents."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.wire.records import Notice

Array = np.ndarray[Any, np.dtype[Any]]

_ROW, _WIDTH, _BOX = 78, 300, 44
_STYLE = "font-family='ui-monospace,Menlo,monospace' font-size='12'"


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
        nodes = tuple(n for n in self.nodes if n.op != "Constant")
        place = _places(nodes)
        columns = 1 + max((x for x, _ in place.values()), default=0)
        rows = 1 + max((y for _, y in place.values()), default=0)
        width, height = columns * _WIDTH, rows * _ROW + 20
        parts = [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
            f"viewBox='0 0 {width} {height}' {_STYLE}>",
            "<defs><marker id='a' viewBox='0 0 8 8' refX='8' refY='4' markerWidth='7' "
            "markerHeight='7' orient='auto'><path d='M0 0 8 4 0 8z' fill='#666'/></marker></defs>",
        ]
        for node in nodes:
            parts += [
                _svg_edge(place[e.input], place[node.node], e)
                for e in node.edges
                if e.input in place
            ]
        parts += [_svg_node(place[node.node], node) for node in nodes]
        return "\n".join([*parts, "</svg>"])

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


def _places(nodes: tuple[ExplainedNode, ...]) -> dict[int, tuple[int, int]]:
    """Column and row of each node: below its inputs, left to right in order."""
    rows: dict[int, int] = {}
    used: dict[int, int] = {}
    place: dict[int, tuple[int, int]] = {}
    for node in nodes:
        row = 1 + max((rows.get(e.input, -1) for e in node.edges), default=-1)
        rows[node.node] = row
        place[node.node] = (used.get(row, 0), row)
        used[row] = used.get(row, 0) + 1
    return place


def _svg_node(at: tuple[int, int], node: ExplainedNode) -> str:
    x, y = at[0] * _WIDTH + 10, at[1] * _ROW + 10
    name = f"{node.node} {node.op}" + (f"  {node.label}" if node.label else "")
    numbers = f"{number_text(node.value)}   ct {number_text(node.incoming)}"
    where = f"<title>{html.escape(f'{node.aval} {node.line}')}</title>"
    return (
        f"<g>{where}<rect x='{x}' y='{y}' width='{_WIDTH - 60}' height='{_BOX}' rx='6' "
        f"fill='#f4f7fb' stroke='#0072B2'/>"
        f"<text x='{x + 8}' y='{y + 17}' font-weight='bold'>{html.escape(name[:34])}</text>"
        f"<text x='{x + 8}' y='{y + 35}'>{html.escape(numbers[:36])}</text></g>"
    )


def _svg_edge(start: tuple[int, int], end: tuple[int, int], edge: ExplainedEdge) -> str:
    x1, y1 = start[0] * _WIDTH + (_WIDTH - 40) // 2, start[1] * _ROW + 10 + _BOX
    x2, y2 = end[0] * _WIDTH + (_WIDTH - 40) // 2, end[1] * _ROW + 10
    label = edge.rule + (f" = {number_text(edge.local)}" if edge.local is not None else "")
    middle = f"x='{(x1 + x2) // 2 + 6}' y='{(y1 + y2) // 2 + 4}'"
    return (
        f"<path d='M{x1} {y1} L{x2} {y2}' stroke='#666' fill='none' marker-end='url(#a)'/>"
        f"<text {middle} fill='#D55E00'>{html.escape(label[:30])}</text>"
    )
