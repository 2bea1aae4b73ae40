"""Two buffers, aligned leaves, and a header that survives a torn write."""

import mmap
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chainrule.ir.avals import Aval, DType
from chainrule.ir.operations import state_digest
from chainrule.ir.tensors import tensor_digest
from chainrule_server.sessions.header import StateHeader, decode_header
from chainrule_server.sessions.layout import ALIGN, layout_of
from chainrule_server.sessions.state import StateFile, read_headers
from chainrule_server.storage.disk import LinuxDisk

DISK = LinuxDisk()
AVALS = [
    ("params/w", Aval(DType.FLOAT32, (1000, 3))),
    ("params/b", Aval(DType.FLOAT64)),
    ("state/n", Aval(DType.INT64, (2,))),
    ("buffers/empty", Aval(DType.FLOAT64, (0, 4))),
]
HEADER = StateHeader(4096, 0, 1, 2, 3, 4, 5, 6, b"c" * 32, b"b" * 16)


def made(path: Path) -> StateFile:
    return StateFile.create(DISK, DISK.open(path, create=True), layout_of(AVALS))


def test_leaves_lie_in_order_of_name_whatever_the_order_given() -> None:
    layout = layout_of(AVALS)
    assert layout == layout_of(AVALS[::-1])
    assert layout.names == ("buffers/empty", "params/b", "params/w", "state/n")
    assert all(leaf.offset % ALIGN == 0 for leaf in layout.leaves)
    assert [layout.places[n] for n in layout.names] == [0, 0, 64, 64 + 12032]


def test_buffers_begin_at_pages_and_do_not_meet(tmp_path: Path) -> None:
    state = made(tmp_path / "state")
    even, odd = state.buffers(0), state.buffers(1)
    assert (even.read_offset, even.write_offset) == (odd.write_offset, odd.read_offset)
    assert even.read_offset % mmap.PAGESIZE == even.write_offset % mmap.PAGESIZE == 0
    assert abs(even.write_offset - even.read_offset) >= state.layout.nbytes
    found = os.stat(tmp_path / "state")
    assert found.st_size == state.nbytes
    assert found.st_blocks * 512 >= state.nbytes
    state.close()


def test_leaves_are_written_and_read_by_version(tmp_path: Path) -> None:
    state, random = made(tmp_path / "state"), np.random.default_rng(0)
    first = random.standard_normal((1000, 3)).astype(np.float32)
    state.write(0, [("params/w", first)])
    state.write(1, [("params/w", first + 1), ("params/b", np.array(2.5))])
    np.testing.assert_array_equal(state.read(2, "params/w"), first)
    np.testing.assert_array_equal(state.read(1, "params/w"), first + 1)
    assert state.read(1, "params/b") == 2.5
    assert state.read(0, "params/b") == 0
    assert state.read(0, "buffers/empty").shape == (0, 4)
    with pytest.raises(KeyError):
        state.read(0, "params/nothing")
    names = state.layout.names
    expected = [(name, tensor_digest(state.read(1, name))) for name in names]
    assert state.digest(1, names) == state_digest(expected) != state.digest(0, names)
    state.close()


def test_a_shared_mapping_writes_what_the_file_reads(tmp_path: Path) -> None:
    state = made(tmp_path / "state")
    buffers = state.buffers(0)
    with mmap.mmap(buffers.write_fd, buffers.nbytes, offset=buffers.write_offset) as data:
        data[0:8] = np.float64(7).tobytes()
    assert state.read(1, "params/b") == 7
    state.close()


def test_headers_take_turns_and_the_newest_comes_first(tmp_path: Path) -> None:
    state = made(tmp_path / "state")
    fd = DISK.open(tmp_path / "state")
    for serial in range(5):
        state.write_header(replace(HEADER, serial=serial))
        assert read_headers(DISK, fd)[0].serial == serial
    assert [h.serial for h in read_headers(DISK, fd)] == [4, 3]
    assert [h.slot_offset for h in read_headers(DISK, fd)] == [0, 512]
    DISK.close(fd)
    state.close()


def test_a_header_is_read_back_or_not_at_all() -> None:
    header = replace(HEADER, is_clean=True, state_digest=b"d" * 32)
    data = bytearray(header.encode())
    assert decode_header(bytes(data)) == header
    for bit in range(8 * len(data)):
        data[bit // 8] ^= 1 << bit % 8
        assert decode_header(bytes(data)) is None
        data[bit // 8] ^= 1 << bit % 8
    for n in range(len(data)):
        assert decode_header(bytes(data[:n])) is None
