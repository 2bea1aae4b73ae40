"""The one tree by which partial results are combined, whoever computed them.

Microshards are the leaves. A node over more than one leaf splits at the largest power of two
below its size, so every aligned block of 2^k leaves (the last one may be ragged) is a subtree:

    n = 7:   [0, 7) -> [0, 4) [4, 7) -> ... [4, 6) [6, 7)

A worker folds the leaves of its block from left to right (`Fold`), the supervisor folds the blocks
(`finish`); both walk this tree, so the bits depend on n alone, never on how blocks were dealt.
"""

import heapq
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Buffer: TypeAlias = NDArray[np.uint8] | memoryview
Vector: TypeAlias = NDArray[np.uint8]

# A deal may take this much longer than a perfect one; finer blocks cost a partial vector each.
_SLACK = 1.125


class Segment(NamedTuple):
    """One output inside a packed vector: `length` items of `dtype` at byte `offset`."""

    kind: Literal["sum", "max"]
    dtype: np.dtype[Any]
    offset: int
    length: int


def split(lo: int, hi: int) -> int:
    """Where the node over leaves lo..hi-1 splits: lo + the largest power of two below its size."""
    size = hi - lo
    if size < 2:
        raise ValueError(f"a node of {size} leaves does not split")
    return lo + (1 << ((size - 1).bit_length() - 1))


def combine(segments: Sequence[Segment], left: Buffer, right: Buffer) -> None:
    """left = left (+ or max) right, in place, segment by segment. NaN wins a max."""
    for kind, dtype, offset, length in segments:
        if not length:
            continue  # frombuffer refuses an empty view
        a = np.frombuffer(left, dtype, length, offset)
        b = np.frombuffer(right, dtype, length, offset)
        if kind == "sum":
            np.add(a, b, out=a)
        else:
            np.maximum(a, b, out=a)


class Fold:
    """Folds leaves that come from left to right, with at most log2(n) + 1 vectors kept.

    The kept vectors are a binary counter: their sizes are the bits of the number of leaves so far.

        leaf = fold.leaf(); leaf[...] = ...; fold.push()      # once a leaf
        fold.finish(out)
    """

    __slots__ = ("_free", "_leaf", "_nbytes", "_segments", "_stack")

    def __init__(self, segments: Sequence[Segment], nbytes: int) -> None:
        self._segments = tuple(segments)
        self._nbytes = nbytes
        self._stack: list[tuple[int, Vector]] = []
        self._free: list[Vector] = []
        self._leaf: Vector | None = None

    def leaf(self) -> Vector:
        """Where the next leaf is to be written, `(nbytes,)` uint8; its old content is arbitrary."""
        if self._leaf is None:
            self._leaf = self._free.pop() if self._free else np.empty(self._nbytes, np.uint8)
        return self._leaf

    def push(self) -> None:
        """The leaf is written: take it in."""
        if self._leaf is None:
            raise ValueError("push without a leaf; call leaf() and fill it first")
        size, vector = 1, self._leaf
        self._leaf = None
        while self._stack and self._stack[-1][0] == size:
            _, left = self._stack.pop()
            combine(self._segments, left, vector)
            self._free.append(vector)
            size, vector = 2 * size, left
        self._stack.append((size, vector))

    def reset(self) -> None:
        """Forget what was pushed: a block that failed half-way leaves nothing to the next."""
        self._free.extend(vector for _, vector in self._stack)
        self._stack.clear()

    def finish(self, out: Buffer) -> None:
        """Combine what is kept, write it to `out` and be empty again.

        Raises:
            ValueError: nothing was pushed.
        """
        if not self._stack:
            raise ValueError("an empty fold has no value")
        # Sizes fall from left to right, so closing from the right is the tree of a ragged block.
        _, vector = self._stack.pop()
        while self._stack:
            _, left = self._stack.pop()
            combine(self._segments, left, vector)
            self._free.append(vector)
            vector = left
        self._free.append(vector)
        np.frombuffer(out, np.uint8)[: self._nbytes] = vector


def finish(
    segments: Sequence[Segment], n_shards: int, parts: Mapping[tuple[int, int], Buffer]
) -> Buffer:
    """The whole tree's vector from the vectors of blocks that cover leaves 0..n_shards-1.

    Works in place: the vectors in `parts` are used up, and one of them is returned.

    Raises:
        KeyError: the blocks are no subtrees or leave a leaf out.
    """

    return _close(segments, n_shards, parts, 0, n_shards)


def _close(
    segments: Sequence[Segment],
    n_shards: int,
    parts: Mapping[tuple[int, int], Buffer],
    lo: int,
    hi: int,
) -> Buffer:
    part = parts.get((lo, hi))
    if part is not None:
        return part
    if hi - lo < 2:
        raise KeyError(f"no block holds leaf {lo} of {n_shards}")
    middle = split(lo, hi)
    left = _close(segments, n_shards, parts, lo, middle)
    combine(segments, left, _close(segments, n_shards, parts, middle, hi))
    return left


@lru_cache(maxsize=1024)
def blocks(n_shards: int, n_workers: int) -> tuple[tuple[int, int], ...]:
    """Subtrees that cover all leaves, in the order to deal them: the largest first.

    Nodes are split, the largest first, until every worker has one and dealing them greedily takes
    at most 1/8 longer than an even share. So the tail is fine and the number of partial vectors
    stays near the number of workers.
    """
    if n_shards < 1 or n_workers < 1:
        raise ValueError(f"{n_shards} microshards on {n_workers} workers: both must be at least 1")
    ideal = -(-n_shards // n_workers)
    # The rightmost of equals splits first: the ragged end is where small blocks cost least.
    heap = [(-n_shards, 0, n_shards)]
    while -heap[0][0] > 1:
        enough = len(heap) >= min(n_workers, n_shards)
        if enough and _makespan([-item[0] for item in heap], n_workers) <= _SLACK * ideal:
            break
        _, minus_lo, hi = heapq.heappop(heap)
        lo = -minus_lo
        middle = split(lo, hi)
        heapq.heappush(heap, (lo - middle, -lo, middle))
        heapq.heappush(heap, (middle - hi, -middle, hi))
    pairs = [(-minus_lo, hi) for _, minus_lo, hi in heap]
    return tuple(sorted(pairs, key=lambda block: (block[0] - block[1], block[0])))


def _makespan(sizes: list[int], n_workers: int) -> int:
    """The time of a greedy deal, largest first, where a leaf takes one unit."""
    loads = [0] * n_workers
    for size in sorted(sizes, reverse=True):
        heapq.heapreplace(loads, loads[0] + size)
    return max(loads)
