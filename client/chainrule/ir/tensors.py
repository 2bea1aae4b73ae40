"""A tensor as a self-describing object, and its digest.

Object = header + data. Header = b"chainrule.tensor.v1\\0", u8 dtype number, u8 rank, rank x u64 little-endian
dims. Data = the elements, little-endian, C order. The digest is the SHA-256 of the whole object.
"""

import hashlib
import struct
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule.ir.avals import Aval, DType, check_shape

MAGIC = b"chainrule.tensor.v1\0"
Array = np.ndarray[Any, np.dtype[Any]]


def aval_of(array: Array) -> Aval:
    """dtype and shape of an array."""
    return Aval(DType.of(array.dtype), check_shape(array.shape))


def tensor_header(aval: Aval) -> bytes:
    """The bytes before the data."""
    return MAGIC + struct.pack(f"<BB{aval.rank}Q", aval.dtype, aval.rank, *aval.dims)


def tensor_digest(array: Array) -> bytes:
    """SHA-256 of the object (32 bytes); one pass over the data, no copy of a C-contiguous array."""
    aval = aval_of(array)
    digest = hashlib.sha256(tensor_header(aval))
    digest.update(data_view(array))
    return digest.digest()


def data_view(array: Array) -> memoryview:
    """The elements as little-endian C-order bytes; a view where the array has that form."""
    dtype = DType.of(array.dtype).numpy
    return np.ascontiguousarray(array, dtype).reshape(-1).data.cast("B")


def encode_tensor(array: Array) -> bytes:
    """The object of an array."""
    return tensor_header(aval_of(array)) + bytes(data_view(array))


def decode_header(data: bytes | memoryview) -> tuple[Aval, int]:
    """Aval of an object and the offset of its elements.

    Raises:
        ShapeMismatch: no object of this form, or its length differs from what the header says.
    """
    start = len(MAGIC)
    head = bytes(data[: start + 2])
    if len(head) < start + 2 or head[:start] != MAGIC:
        raise ShapeMismatch(
            "the object doesn't begin as a tensor", code=ErrorCode.BYTE_LENGTH, cure="send it again"
        )
    try:
        dtype = DType(head[start])
    except ValueError:
        raise ShapeMismatch(f"dtype number {head[start]}", code=ErrorCode.BAD_DTYPE) from None
    rank = head[start + 1]
    offset = start + 2 + 8 * rank
    if rank > 8 or len(data) < offset:
        raise ShapeMismatch(f"rank {rank} in an object", code=ErrorCode.RANK_TOO_LARGE)
    aval = Aval(dtype, check_shape(struct.unpack(f"<{rank}Q", data[start + 2 : offset])))
    if len(data) != offset + aval.nbytes:
        raise ShapeMismatch(
            f"an object of {len(data)} bytes for {aval}, which needs {offset + aval.nbytes}",
            code=ErrorCode.BYTE_LENGTH,
            cure="send every byte once",
        )
    return aval, offset


def decode_tensor(data: bytes | memoryview) -> Array:
    """The array of an object, a read-only view of its bytes."""
    aval, offset = decode_header(data)
    return np.frombuffer(data, aval.dtype.numpy, offset=offset).reshape(aval.dims)
