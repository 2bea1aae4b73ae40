"""Offsets in one block: disjoint, aligned, reused."""

from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule_server.engine.arena import ALIGNMENT, Arena, aligned


def test_sizes_are_whole_cache_lines() -> None:
    assert [aligned(n) for n in (0, 1, 64, 65)] == [0, 64, 64, 128]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 400), st.booleans(), st.integers(0, 9)), max_size=40))
def test_live_ranges_never_overlap_and_lie_below_the_peak(
    steps: list[tuple[int, bool, int]],
) -> None:
    arena, live = Arena(), list[tuple[int, int]]()
    most = 0
    for nbytes, give, which in steps:
        if give and live:
            arena.give(*live.pop(which % len(live)))
            continue
        offset = arena.take(nbytes)
        assert offset % ALIGNMENT == 0
        end = offset + max(aligned(nbytes), ALIGNMENT)
        assert end <= arena.peak
        for start, size in live:
            assert end <= start or start + max(aligned(size), ALIGNMENT) <= offset
        live.append((offset, nbytes))
        most = max(most, sum(max(aligned(size), ALIGNMENT) for _, size in live))
    assert arena.peak >= most
    while live:
        arena.give(*live.pop())
    assert arena.take(arena.peak) == 0


def test_the_smallest_hole_that_fits_is_taken() -> None:
    arena = Arena()
    offsets = [arena.take(n) for n in (256, 64, 128, 64)]
    arena.give(offsets[0], 256)
    arena.give(offsets[2], 128)
    assert arena.take(100) == offsets[2]
    assert arena.take(64) == offsets[0]
    assert arena.take(192) == offsets[0] + 64
    assert arena.peak == 512


def test_a_hole_at_the_end_grows_instead_of_being_left_behind() -> None:
    arena = Arena()
    first = arena.take(64)
    last = arena.take(64)
    arena.give(last, 64)
    assert arena.take(640) == last
    assert (first, arena.peak) == (0, 704)


class ByHand:
    """The definition: all holes looked at, every time."""

    def __init__(self) -> None:
        self.used: set[int] = set()
        self.peak = 0

    def holes(self) -> list[tuple[int, int]]:
        """(lines, first line) of every run of free lines."""
        out, first = [], None
        for line in range(self.peak + 1):
            free = line < self.peak and line not in self.used
            if free and first is None:
                first = line
            elif not free and first is not None:
                out.append((line - first, first))
                first = None
        return out

    def take(self, lines: int) -> int:
        fits = sorted(hole for hole in self.holes() if hole[0] >= lines)
        last = [at for size, at in self.holes() if size + at == self.peak]
        at = fits[0][1] if fits else last[0] if last else self.peak
        self.used |= set(range(at, at + lines))
        self.peak = max(self.peak, at + lines)
        return at


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 5), st.booleans(), st.integers(0, 9)), max_size=40))
def test_the_choice_is_that_of_the_definition(steps: list[tuple[int, bool, int]]) -> None:
    arena, hand, live = Arena(), ByHand(), list[tuple[int, int]]()
    for lines, give, which in steps:
        if give and live:
            at, size = live.pop(which % len(live))
            arena.give(at * ALIGNMENT, size * ALIGNMENT)
            hand.used -= set(range(at, at + size))
            continue
        at = hand.take(lines)
        assert arena.take(lines * ALIGNMENT) == at * ALIGNMENT
        assert arena.peak == hand.peak * ALIGNMENT
        live.append((at, lines))


def test_many_holes_do_not_slow_the_search() -> None:
    # Looking at every hole would take 10^9 steps here, minutes; a search takes 30,000 times 15.
    arena = Arena()
    offsets = [arena.take(64) for _ in range(60_000)]
    for offset in offsets[::2]:
        arena.give(offset, 64)
    for _ in range(30_000):
        arena.take(128)
    assert arena.peak == 64 * 60_000 + 128 * 30_000
