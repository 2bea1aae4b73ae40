"""Random bits that depend on nothing but a key, a stream and a counter.

So a mask is the same whatever the shards, the workers and the order in which they come.
"""

from collections.abc import Sequence
from functools import partial
from typing import cast

import numpy as np

from chainrule.ir.avals import Dim, DType
from chainrule.ir.expr import Expr, apply, transpose
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.philox import BYTES_PER_BLOCK, Word, philox
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
# Tracers number streams from 0 up; this one gives the keys of lanes.
LANE_STREAM = 2**31


def _bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    key, counter = ins
    stream = cast(int, attrs["stream"])
    flat_out = out.reshape(-1)
    if key.ndim > 1:
        return partial(_fill_lanes, counter, key, stream, out)

    def run() -> None:
        words = int(key[0]), int(key[1])
        flat = counter.reshape(-1)
        for at in range(0, flat.size, _CHUNK):
            _fill(flat[at : at + _CHUNK], words, stream, flat_out[at : at + _CHUNK])

    return run


def _fill_lanes(counter: Array, keys: Array, stream: int, out: Array) -> None:
    """A key for each of the leading axes; each counter's block is computed with the key of its lane."""
    if not out.size:
        return
    flat, flat_keys, flat_out = counter.reshape(-1), keys.reshape(-1, 2), out.reshape(-1)
    inner = out.size // len(flat_keys)
    for at in range(0, flat.size, _CHUNK):
        part = flat[at : at + _CHUNK]
        lane = np.arange(at, at + part.size) // inner
        key = flat_keys[lane].astype(np.uint64)
        _pick(part, (key[:, 0], key[:, 1]), stream, flat_out[at : at + _CHUNK])


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
    _pick(counter, key, stream, out)


def _pick(counter: Array, key: tuple[Word, Word], stream: int, out: Array) -> None:
    table = _blocks(counter >> 2, key, stream)
    word = counter & 3
    for w in range(4):
        np.copyto(out, table[w], where=word == w, casting="unsafe")


def _blocks(blocks: Array, key: tuple[Word, Word], stream: int) -> Array:
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
    key, counter = inputs
    n = min(counter.size, _CHUNK)
    copy = 0 if counter.flags.c_contiguous else 8 * counter.size
    if key.ndim > 1:
        # lane numbers, keys before and after widening, and the round keys of each counter
        copy += n * (8 + 8 + 8 + 16 + 4 * 16) + (0 if key.flags.c_contiguous else key.nbytes)
    # block numbers, word numbers and a mask beside the blocks
    return copy + n * (BYTES_PER_BLOCK + 8 + 8 + 1)


def _batching(size: Dim, batched: Sequence[bool], key: Expr, counter: Expr, *, stream: int) -> Expr:
    """Every lane has bits of its own.

    Lanes with keys of their own differ already. Otherwise the key is folded with the lane's number by the
    same cipher: key' = words 0 and 1 of block `lane` under the key, in a stream that no traced function
    uses.
    """
    of_key, of_counter = batched
    if not of_key:
        key = _folded(key, size)
    if not of_counter:
        counter = lanes.in_front(counter, size)
    return apply("RandomBits", key, counter, stream=stream)


def _folded(key: Expr, size: Dim) -> Expr:
    """Keys (K..., 2) as (size, K..., 2), one a lane."""
    b, shape = key.b, (size, *key.shape)
    lane = Expr(b, b.add("Iota", dtype=DType.INT64, shape=shape, axis=0))
    word = Expr(b, b.add("Iota", dtype=DType.INT64, shape=shape, axis=len(shape) - 1))
    counters = lane * 4 + word
    if len(shape) == 2:
        return apply("RandomBits", key, counters, stream=LANE_STREAM)
    # the key's own lanes lead the counters, so they come first while folding
    rank = len(shape)
    inner = (*range(1, rank - 1), 0, rank - 1)
    folded = apply("RandomBits", key, transpose(counters, inner), stream=LANE_STREAM)
    return transpose(folded, (rank - 2, *range(rank - 2), rank - 1))


_BITS = NoDerivative("random bits have no derivative")

RANDOM = (
    # ten rounds of ten operations on a block
    Op(
        "RandomBits",
        _bind,
        _BITS,
        _BITS,
        per_element(100),
        _workspace,
        batching=_batching,
    ),
)
