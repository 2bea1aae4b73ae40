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
