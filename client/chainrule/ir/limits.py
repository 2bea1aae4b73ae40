"""Upper bounds of what a graph may be; the server may lower or raise them by option."""

from dataclasses import dataclass

MAX_CONSTANT_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that the checker holds.

    Attributes:
        nodes: rows of all functions together.
        edges: references of all rows together.
        functions: functions of a graph.
        nesting: how deep functions may name functions.
        constant_bytes: bytes of all constants together.
        steps: of all Scans without `until` together, one inside another multiplied.
    """

    nodes: int = 20_000
    edges: int = 200_000
    functions: int = 256
    nesting: int = 16
    constant_bytes: int = 4 * 1024 * 1024
    steps: int = 10_000_000


DEFAULT = Limits()
