"""The combining tree: one shape, one result, however the leaves were dealt."""

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule_server.engine.tree import Fold, Segment, blocks, combine, finish, split

SEGMENTS = (
    Segment("sum", np.dtype(np.float32), 0, 37),
    Segment("max", np.dtype(np.float64), 192, 5),
    Segment("sum", np.dtype(np.int64), 256, 1),
    Segment("sum", np.dtype(np.float64), 320, 0),
)
NBYTES = 320


def leaves(n: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(n)
    made = []
    for index in range(n):
        vector = np.zeros(NBYTES, np.uint8)
        vector[:148].view(np.float32)[:] = rng.standard_normal(37) * 10.0 ** rng.integers(-6, 6)
        vector[192:232].view(np.float64)[:] = rng.standard_normal(5)
        vector[256:264].view(np.int64)[:] = index
        made.append(vector)
    return made


def by_recursion(vectors: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The definition, written once more: split at the largest power of two below the size."""
    if len(vectors) == 1:
        return vectors[0].copy()
    middle = 1
    while 2 * middle < len(vectors):
        middle *= 2
    left = by_recursion(vectors[:middle])
    combine(SEGMENTS, left, by_recursion(vectors[middle:]))
    return left


def by_fold(vectors: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    fold = Fold(SEGMENTS, NBYTES)
    for vector in vectors:
        fold.leaf()[:] = vector
        fold.push()
    out = np.empty(NBYTES, np.uint8)
    fold.finish(out.data)
    return out


def test_split_is_the_largest_power_of_two_below_the_size() -> None:
    assert [split(0, n) for n in (2, 3, 4, 5, 8, 9)] == [1, 2, 2, 4, 4, 8]
    assert split(8, 11) == 10
    with pytest.raises(ValueError, match="1 leaves does not split"):
        split(3, 4)


@pytest.mark.parametrize("n", [*range(1, 34), 63, 64, 65, 100])
def test_fold_from_the_left_is_the_tree(n: int) -> None:
    vectors = leaves(n)
    assert by_fold(vectors).tobytes() == by_recursion(vectors).tobytes()


def test_the_order_matters_to_the_bits_so_the_tree_is_tested_for_something() -> None:
    vectors = leaves(9)
    left_to_right = vectors[0].copy()
    for vector in vectors[1:]:
        combine(SEGMENTS, left_to_right, vector)
    assert left_to_right.tobytes() != by_recursion(vectors).tobytes()


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 31, 64])
@pytest.mark.parametrize("workers", [*range(1, 9)])
def test_any_deal_of_blocks_gives_one_result(n: int, workers: int) -> None:
    vectors = leaves(n)
    parts = {(lo, hi): by_fold(vectors[lo:hi]) for lo, hi in blocks(n, workers)}
    whole = finish(SEGMENTS, n, parts)
    assert bytes(whole) == by_recursion(vectors).tobytes()


@pytest.mark.parametrize("n", [1, 5, 8, 9, 100, 4096])
@pytest.mark.parametrize("workers", [1, 2, 3, 5, 64])
def test_blocks_cover_all_leaves_once_and_keep_every_worker_busy(n: int, workers: int) -> None:
    dealt = blocks(n, workers)
    assert sorted(leaf for lo, hi in dealt for leaf in range(lo, hi)) == list(range(n))
    assert len(dealt) >= min(n, workers)
    sizes = [hi - lo for lo, hi in dealt]
    assert sizes == sorted(sizes, reverse=True)
    loads = [0] * workers
    for size in sizes:
        loads[loads.index(min(loads))] += size
    assert max(loads) <= 1.125 * -(-n // workers)


def test_few_partial_vectors_are_needed() -> None:
    assert blocks(8, 1) == ((0, 8),)
    assert blocks(8, 2) == ((0, 4), (4, 8))
    assert all(len(blocks(n, 3)) <= 16 for n in range(1, 2000, 17))


def test_a_fold_is_reused_without_new_buffers_and_keeps_few() -> None:
    fold = Fold(SEGMENTS, NBYTES)
    seen = set()
    for _ in range(2):
        for vector in leaves(64):
            leaf = fold.leaf()
            seen.add(leaf.ctypes.data)
            leaf[:] = vector
            fold.push()
        fold.finish(np.empty(NBYTES, np.uint8))
    assert len(seen) <= 7  # log2(64) + 1


def test_a_fold_that_was_broken_off_leaves_nothing_to_the_next() -> None:
    fold = Fold(SEGMENTS, NBYTES)
    for vector in leaves(3):
        fold.leaf()[:] = vector
        fold.push()
    fold.reset()
    (vector,) = leaves(1)
    fold.leaf()[:] = vector
    fold.push()
    out = np.empty(NBYTES, np.uint8)
    fold.finish(out)
    assert out.tobytes() == vector.tobytes()


def test_misuse_is_refused() -> None:
    fold = Fold(SEGMENTS, NBYTES)
    with pytest.raises(ValueError, match="empty fold"):
        fold.finish(np.empty(NBYTES, np.uint8))
    with pytest.raises(ValueError, match="push without a leaf"):
        fold.push()
    with pytest.raises(ValueError, match="both must be at least 1"):
        blocks(0, 2)
    with pytest.raises(KeyError, match="leaf 3"):
        finish(SEGMENTS, 4, {(0, 2): leaves(1)[0], (2, 3): leaves(1)[0]})


def test_nan_wins_a_max_on_either_side() -> None:
    segment = (Segment("max", np.dtype(np.float64), 0, 2),)
    left, right = np.array([np.nan, 1.0]), np.array([0.0, np.nan])
    combine(segment, left.data.cast("B"), right.data.cast("B"))
    assert np.isnan(left).all()
