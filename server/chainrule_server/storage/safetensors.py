"""Named tensors in one file that anybody can read: the safetensors format, written and checked.

u64 length of the header, JSON header {name: {dtype, shape, data_offsets}}, data. The reader takes nothing on
trust: offsets must follow each other without hole or overlap, and sizes be those of dtypes and shapes.
Source: https://github.com/huggingface/safetensors, README, "Format".
"""

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from chainrule.errors import ChainruleError, CorruptCheckpoint
from chainrule.ir.avals import Aval, DType
from chainrule.ir.tensors import Array, data_view
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.files import read_range

_LENGTH = struct.Struct("<Q")
# More than any state of ours has, and little enough to read before it is trusted.
_MAX_HEADER = 100 << 20
_CODES = {
    DType.FLOAT64: "F64",
    DType.FLOAT32: "F32",
    DType.FLOAT16: "F16",
    DType.BFLOAT16: "BF16",
    DType.INT64: "I64",
    DType.INT32: "I32",
    DType.UINT32: "U32",
    DType.UINT8: "U8",
    DType.BOOL: "BOOL",
}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}


@dataclass(frozen=True, slots=True)
class Stored:
    """Where a tensor lies in its file."""

    aval: Aval
    offset: int


def write_tensors(
    disk: Disk, fd: int, avals: Iterable[tuple[str, Aval]], read: Callable[[str], Array]
) -> None:
    """Write tensors to an empty file, one after the other; `read` gives each when its turn comes.

    Raises:
        OSError: the disk has no room for them.
    """
    header, end = {}, 0
    for name, aval in avals:
        span = [end, end + aval.nbytes]
        header[name] = {"dtype": _CODES[aval.dtype], "shape": aval.dims, "data_offsets": span}
        end += aval.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    disk.write(fd, _LENGTH.pack(len(text)) + text, 0)
    start = _LENGTH.size + len(text)
    for name in header:
        data = data_view(read(name))
        if len(data):
            disk.write(fd, data, start)
        start += len(data)


def read_header(disk: Disk, fd: int) -> dict[str, Stored]:
    """What a file holds, checked against its length before anything is allocated.

    Raises:
        CorruptCheckpoint: it is no such file, or not all of it.
    """
    size = disk.size(fd)
    head = disk.read(fd, _LENGTH.size, 0)
    n = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else size
    if n > min(_MAX_HEADER, size - _LENGTH.size):
        raise _damaged(f"its header says {n} bytes, the file has {size}")
    try:
        header = json.loads(read_range(disk, fd, _LENGTH.size, n))
        return _checked(header, _LENGTH.size + n, size)
    except (ValueError, KeyError, TypeError, AttributeError, ChainruleError) as error:
        if isinstance(error, CorruptCheckpoint):
            raise
        raise _damaged("its header can't be read") from error


def read_tensor(disk: Disk, fd: int, stored: Stored) -> Array:
    """A copy of one tensor.

    Raises:
        CorruptCheckpoint: the file ends before it does.
    """
    data = read_range(disk, fd, stored.offset, stored.aval.nbytes)
    if len(data) != stored.aval.nbytes:
        raise _damaged("it ends too early")
    return np.frombuffer(data, stored.aval.dtype.numpy).reshape(stored.aval.dims)


def _checked(header: dict[str, dict[str, list[int]]], start: int, size: int) -> dict[str, Stored]:
    header.pop("__metadata__", None)
    found, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda e: e[1]["data_offsets"]):
        dims = tuple(entry["shape"])
        if not all(type(d) is int and d >= 0 for d in dims):
            raise _damaged(f"{name} has the shape {dims}")
        aval = Aval(_DTYPES[str(entry["dtype"])], dims)
        if entry["data_offsets"] != [end, end + aval.nbytes]:
            raise _damaged(f"{name} lies at {entry['data_offsets']}, {end} is the end so far")
        found[name] = Stored(aval, start + end)
        end += aval.nbytes
    if start + end != size:
        raise _damaged(f"its tensors end at byte {start + end}, the file at {size}")
    return found


def _damaged(fact: str) -> CorruptCheckpoint:
    return CorruptCheckpoint(
        f"the file of tensors is damaged: {fact}", cure="use another checkpoint, or a backup"
    )
