"""Random bits that depend on nothing but a key, a stream and a counter.

So a mask is the same whatever the shards, the workers and the order in which they come.
"""

from typing import cast

import numpy as np

from chainrule_server.engine.ops.philox import BYTES_PER_BLOCK, philox
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    NoDerivative,
    Op,
    Thunk,
    per_element,
)

# Counters worked on at a time: what they need fits the second cache.
_CHUNK = 16384


def _bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    key, counter = ins
    stream = cast(int, attrs["stream"])
    flat_out = out.reshape(-1)

    def run() -> None:
        words = int(key[0]), int(key[1])
        flat = counter.reshape(-1)
        for at in range(0, flat.size, _CHUNK):
            _fill(flat[at : at + _CHUNK], words, stream, flat_out[at : at + _CHUNK])

    return run


def _fill(counter: Array, key: tuple[int, int], stream: int, out: Array) -> None:
    """Word counter & 3 of block counter >> 2, for each counter.

    Counters that follow one another share their blocks, so those are computed once.
    """
    n = counter.size
    first = int(counter[0])
    if int(counter[-1]) - first == n - 1 and bool(np.all(counter[1:] - counter[:-1] == 1)):
        low = first >> 2
        blocks = np.arange(low, ((first + n - 1) >> 2) + 1, dtype=np.int64)
        table = _blocks(blocks, key, stream)
        skip = first - 4 * low
        np.copyto(out, table.T.reshape(-1)[skip : skip + n], casting="unsafe")
        return
    table = _blocks(counter >> 2, key, stream)
    word = counter & 3
    for w in range(4):
        np.copyto(out, table[w], where=word == w, casting="unsafe")


def _blocks(blocks: Array, key: tuple[int, int], stream: int) -> Array:
    """Four words for each block number: (4, n)."""
    words = np.empty((4, blocks.size), np.uint64)
    bits = blocks.view(np.uint64)
    np.bitwise_and(bits, np.uint64(0xFFFFFFFF), words[0])
    np.right_shift(bits, np.uint64(32), words[1])
    words[2] = stream
    words[3] = 0
    philox(words, key, np.empty((2, blocks.size), np.uint64))
    return words


def _workspace(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del out, attrs
    counter = inputs[1]
    n = min(counter.size, _CHUNK)
    copy = 0 if counter.flags.c_contiguous else 8 * counter.size
    # block numbers, word numbers and a mask beside the blocks
    return copy + n * (BYTES_PER_BLOCK + 8 + 8 + 1)


_BITS = NoDerivative("random bits have no derivative")

RANDOM = (
    # ten rounds of ten operations on a block
    Op("RandomBits", _bind, _BITS, _BITS, per_element(100), _workspace),
)
