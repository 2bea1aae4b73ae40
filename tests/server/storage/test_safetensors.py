"""The safetensors format: what others read, and what no damaged file gets past."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import CorruptCheckpoint
from chainrule.ir.tensors import Array, aval_of
from chainrule_server.storage.disk import LinuxDisk
from chainrule_server.storage.safetensors import read_header, read_tensor, write_tensors

DISK = LinuxDisk()
ARRAYS: dict[str, Array] = {
    "params/w": np.arange(6, dtype=np.float32).reshape(2, 3),
    "params/b": np.array(0.5),
    "state/n": np.array([3], np.int64),
    "state/none": np.zeros((0, 4)),
    "buffers/on": np.array([True, False, True]),
}


def written(path: Path) -> bytes:
    fd = DISK.open(path, create=True)
    write_tensors(DISK, fd, [(n, aval_of(a)) for n, a in ARRAYS.items()], ARRAYS.__getitem__)
    DISK.close(fd)
    return path.read_bytes()


def read(path: Path, data: bytes) -> dict[str, Array]:
    path.write_bytes(data)
    fd = DISK.open(path)
    try:
        return {n: read_tensor(DISK, fd, s) for n, s in read_header(DISK, fd).items()}
    finally:
        DISK.close(fd)


def with_header(header: object, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_tensors_are_read_back_and_the_file_is_what_the_format_says(tmp_path: Path) -> None:
    data = written(tmp_path / "a")
    found = read(tmp_path / "a", data)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()
    (n,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + n])
    assert n % 8 == 0
    assert header["params/w"] == {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    assert data[8 + n : 8 + n + 24] == ARRAYS["params/w"].tobytes()


def test_no_file_that_is_cut_or_longer_is_taken(tmp_path: Path) -> None:
    data = written(tmp_path / "a")
    for cut in [data[:n] for n in range(len(data))] + [data + b"x"]:
        with pytest.raises(CorruptCheckpoint):
            read(tmp_path / "b", cut)


ONE = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}
BAD = {
    "a hole": {"a": ONE, "b": {**ONE, "data_offsets": [9, 17]}},
    "an overlap": {"a": ONE, "b": {**ONE, "data_offsets": [4, 12]}},
    "another size": {"a": {**ONE, "data_offsets": [0, 16]}},
    "a negative dimension": {"a": {**ONE, "shape": [-1]}},
    "a dimension that is none": {"a": {**ONE, "shape": [True]}},
    "a product that wraps": {"a": {**ONE, "shape": [2**32, 2**32]}},
    "an unknown dtype": {"a": {**ONE, "dtype": "O"}},
    "no offsets": {"a": {"dtype": "F64", "shape": [1]}},
    "no table": [1, 2],
}


@pytest.mark.parametrize("what", BAD)
def test_headers_that_lie_are_refused(what: str, tmp_path: Path) -> None:
    with pytest.raises(CorruptCheckpoint):
        read(tmp_path / "a", with_header(BAD[what], bytes(16)))


def test_a_length_beyond_the_file_allocates_nothing(tmp_path: Path) -> None:
    for n in (2**64 - 1, 2**40, 17):
        with pytest.raises(CorruptCheckpoint, match="header says"):
            read(tmp_path / "a", struct.pack("<Q", n) + b"{}")
