"""Runs a program in this process the way a coordinator and its workers do."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule_server.engine import tree
from chainrule_server.engine.program import BOARD, STATE_READ, STATE_WRITE, Layout, Program
from chainrule_server.engine.worker import LoadedProgram

Array = NDArray[Any]


def block_of_memory(nbytes: int) -> Array:
    """Memory from a cache line on, full of NaN, so that what nobody wrote shows."""
    raw = np.full(nbytes + 64, 0xFF, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


def run(
    program: Program,
    n: int,
    feeds: Mapping[str, Array],
    *,
    workers: int = 1,
    state: Array | None = None,
    loaded: list[LoadedProgram] | None = None,
) -> dict[str, Array]:
    """The outputs by name; those in the state's new buffer too.

    Args:
        program: sent to each worker as bytes.
        n: examples.
        feeds: an array an input on the board.
        workers: how many share the blocks; the last one begins.
        state: bytes that STATE_READ shows.
        loaded: workers of an earlier run, to go on with.
    """
    layout = program.layout(n)
    board = block_of_memory(layout.nbytes)
    read = state if state is not None else block_of_memory(0)
    write = block_of_memory(read.nbytes)
    regions = {BOARD: board.data, STATE_READ: read.data, STATE_WRITE: write.data}
    pool = loaded or [LoadedProgram(program.encode()) for _ in range(workers)]
    for port in program.inputs:
        if port.place.region == BOARD:
            _slot(board, layout, port.key)[...] = feeds[port.name]
    for index, stage in enumerate(program.stages):
        if not stage.sharded:
            pool[index % len(pool)].run_whole(index, n, regions)
            continue
        partials = layout.partials(index)
        parts: dict[tuple[int, int], tree.Buffer] = {}
        deal = tree.blocks(len(layout.microshards), len(pool))
        for k, (lo, hi) in enumerate(reversed(deal)):
            parts[lo, hi] = part = block_of_memory(partials.nbytes)
            pool[(-1 - k) % len(pool)].run_block(index, n, regions, lo, hi, part.data)
        whole = tree.finish(partials.segments, len(layout.microshards), parts)
        for key, segment in zip(partials.keys, partials.segments, strict=True):
            if segment.length:
                value = np.frombuffer(whole, segment.dtype, segment.length, segment.offset)
                _slot(board, layout, key).reshape(-1)[:] = value
    out: dict[str, Array] = {}
    for port in program.outputs:
        if port.place.region == BOARD:
            out[port.name] = _slot(board, layout, port.key).copy()
        else:
            assert port.place.offset is not None
            aval = port.aval.concrete(n)
            at = port.place.offset
            value = write[at : at + aval.nbytes].view(aval.dtype.numpy)
            out[port.name] = value.reshape(aval.dims).copy()
    return out


def _slot(board: Array, layout: Layout, key: str) -> Array:
    slot = layout.slots[key]
    if not slot.nbytes:
        return np.empty(slot.shape, slot.dtype)
    return board[slot.offset : slot.offset + slot.nbytes].view(slot.dtype).reshape(slot.shape)


def same_bits(a: Mapping[str, Array], b: Mapping[str, Array]) -> bool:
    """Whether all arrays agree in names, shapes, dtypes and every bit."""
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and a[k].tobytes() == b[k].tobytes()
        for k in a
    )
