"""Where each leaf of a session's state lies: a pure function of names, dtypes and shapes."""

from collections.abc import Iterable
from dataclasses import dataclass

from chainrule.ir.avals import Aval

# A cache line, and more than any vector register needs.
ALIGN = 64


@dataclass(frozen=True, slots=True)
class Leaf:
    """One array of the state; `offset` is in bytes from the start of a buffer."""

    name: str
    aval: Aval
    offset: int


@dataclass(frozen=True, slots=True)
class StateLayout:
    """Leaves in order of place, and the bytes of one buffer without its padding to a page."""

    leaves: tuple[Leaf, ...]
    nbytes: int

    @property
    def places(self) -> dict[str, int]:
        """Offset by name."""
        return {leaf.name: leaf.offset for leaf in self.leaves}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in order of place."""
        return tuple(leaf.name for leaf in self.leaves)

    def leaf(self, name: str) -> Leaf:
        """The leaf by that name.

        Raises:
            KeyError: there is none.
        """
        for leaf in self.leaves:
            if leaf.name == name:
                return leaf
        raise KeyError(name)


def layout_of(avals: Iterable[tuple[str, Aval]], behind: StateLayout | None = None) -> StateLayout:
    """Lay leaves out one after the other, each aligned to 64 bytes, in order of name.

    Args:
        avals: by name.
        behind: what lies before them and stays where it is.
    """
    leaves = list(behind.leaves) if behind else []
    end = behind.nbytes if behind else 0
    for name, aval in sorted(avals, key=lambda pair: pair[0]):
        leaves.append(Leaf(name, aval, end))
        end += -(-aval.nbytes // ALIGN) * ALIGN
    return StateLayout(tuple(leaves), end)
