"""A graph as a picture: boxes below what they read, edges with a word in the middle. SVG, no scripts."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

_ROW, _WIDTH, _BOX = 78, 300, 44
_STYLE = "font-family='ui-monospace,Menlo,monospace' font-size='12'"
_ARROW = (
    "<defs><marker id='a' viewBox='0 0 8 8' refX='8' refY='4' markerWidth='7' "
    "markerHeight='7' orient='auto'><path d='M0 0 8 4 0 8z' fill='#666'/></marker></defs>"
)


@dataclass(frozen=True, slots=True)
class Box:
    """A node of a picture.

    Attributes:
        number: its name among the boxes.
        title: the first line.
        text: the second one.
        hint: shown by the pointer.
        edges: (number, word) of each box that it reads; numbers without a box are left out.
    """

    number: int
    title: str
    text: str
    hint: str
    edges: tuple[tuple[int, str], ...]


def draw(boxes: Sequence[Box]) -> str:
    """The picture.

    Args:
        boxes: each after those that it reads.
    """
    place = _places(boxes)
    columns = 1 + max((x for x, _ in place.values()), default=0)
    rows = 1 + max((y for _, y in place.values()), default=0)
    width, height = columns * _WIDTH, rows * _ROW + 20
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"viewBox='0 0 {width} {height}' {_STYLE}>",
        _ARROW,
    ]
    for box in boxes:
        parts += [
            _edge(place[number], place[box.number], word)
            for number, word in box.edges
            if number in place
        ]
    parts += [_box(place[box.number], box) for box in boxes]
    return "\n".join([*parts, "</svg>"])


def _places(boxes: Sequence[Box]) -> dict[int, tuple[int, int]]:
    """Column and row of each box: below its inputs; what reads nothing stands above its first reader."""
    rows: dict[int, int] = {}
    first: dict[int, int] = {}
    for box in boxes:
        read = [n for n, _ in box.edges if n in rows]
        row = rows[box.number] = 1 + max((rows[n] for n in read), default=-1)
        for n in read:
            first[n] = min(first.get(n, row), row)
    sources = {box.number for box in boxes if not any(n in rows for n, _ in box.edges)}
    used: dict[int, int] = {}
    place: dict[int, tuple[int, int]] = {}
    # The way of the computation comes first, at the left.
    for box in sorted(boxes, key=lambda box: box.number in sources):
        n = box.number
        row = first.get(n, 1) - 1 if n in sources else rows[n]
        place[n] = (used.get(row, 0), row)
        used[row] = used.get(row, 0) + 1
    return place


def _box(at: tuple[int, int], box: Box) -> str:
    x, y = at[0] * _WIDTH + 10, at[1] * _ROW + 10
    return (
        f"<g><title>{html.escape(box.hint)}</title>"
        f"<rect x='{x}' y='{y}' width='{_WIDTH - 60}' height='{_BOX}' rx='6' "
        f"fill='#f4f7fb' stroke='#0072B2'/>"
        f"<text x='{x + 8}' y='{y + 17}' font-weight='bold'>{html.escape(box.title[:34])}</text>"
        f"<text x='{x + 8}' y='{y + 35}'>{html.escape(box.text[:36])}</text></g>"
    )


def _edge(start: tuple[int, int], end: tuple[int, int], word: str) -> str:
    x1, y1 = start[0] * _WIDTH + (_WIDTH - 40) // 2, start[1] * _ROW + 10 + _BOX
    x2, y2 = end[0] * _WIDTH + (_WIDTH - 40) // 2, end[1] * _ROW + 10
    middle = f"x='{(x1 + x2) // 2 + 6}' y='{(y1 + y2) // 2 + 4}'"
    line = f"<path d='M{x1} {y1} L{x2} {y2}' stroke='#666' fill='none' marker-end='url(#a)'/>"
    return f"{line}<text {middle} fill='#D55E00'>{html.escape(word[:30])}</text>" if word else line
