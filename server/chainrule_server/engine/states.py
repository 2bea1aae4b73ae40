"""What a value is to a batch that is cut: known everywhere, one part of the examples, or a part of a sum."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replicated:
    """Known everywhere after `level` combining rounds."""

    level: int = 0


@dataclass(frozen=True, slots=True)
class Batched:
    """Examples along `axis`, `outer` values apart; outer None fits every layout (filled arrays)."""

    axis: int
    outer: int | None
    level: int = 0


@dataclass(frozen=True, slots=True)
class Partial:
    """A contribution to a `sum` or `max` over examples."""

    how: str
    level: int = 0


State = Replicated | Batched | Partial


class Meets(Exception):
    """Why a row couples examples. Internal to the analysis."""


def available(state: State) -> int:
    """The level at which a value can be used as replicated."""
    return state.level + 1 if isinstance(state, Partial) else state.level
