"""A tensor as an object: header and elements, digest over both."""

import hashlib
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.tensors import (
    MAGIC,
    aval_of,
    decode_header,
    decode_tensor,
    encode_tensor,
    tensor_digest,
    tensor_header,
)


def test_the_bytes_are_the_documented_ones() -> None:
    array = np.array([[1.5, -2.0]], np.float32)
    data = b"chainrule.tensor.v1\0" + bytes([2, 2]) + struct.pack("<2Q2f", 1, 2, 1.5, -2.0)
    assert encode_tensor(array) == data
    assert tensor_digest(array) == hashlib.sha256(data).digest()
    assert tensor_digest(np.zeros(())).hex() == (
        hashlib.sha256(b"chainrule.tensor.v1\0\x01\x00" + bytes(8)).hexdigest()
    )


@pytest.mark.parametrize(
    "array",
    [
        np.float64(3.0) * np.ones(()),
        np.zeros((0, 3), np.int32),
        np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        np.array([True, False]),
        np.arange(4, dtype=np.float16),
    ],
)
def test_an_object_comes_back(array: Any) -> None:
    found = decode_tensor(encode_tensor(array))
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found, array)
    assert not found.flags.writeable


def test_layout_and_byte_order_are_not_part_of_a_value() -> None:
    array = np.arange(6.0).reshape(2, 3)
    for same in (np.asfortranarray(array), array.astype(">f8"), array[:, ::-1][:, ::-1]):
        assert tensor_digest(same) == tensor_digest(array)
        assert encode_tensor(same) == encode_tensor(array)


def test_shape_and_dtype_are_part_of_a_value() -> None:
    zeros = np.zeros(4, np.int64)
    others = (zeros.reshape(2, 2), zeros.view(np.float64), zeros.reshape(4, 1), zeros[:0])
    assert len({tensor_digest(x) for x in (zeros, *others)}) == 5


def header(dtype: int, *dims: int, rank: int | None = None) -> bytes:
    return MAGIC + struct.pack(
        f"<BB{len(dims)}Q", dtype, len(dims) if rank is None else rank, *dims
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.BYTE_LENGTH),
        (MAGIC, ErrorCode.BYTE_LENGTH),
        (b"x" * 64, ErrorCode.BYTE_LENGTH),
        (header(99), ErrorCode.BAD_DTYPE),
        (header(0), ErrorCode.BAD_DTYPE),
        (header(1, rank=3), ErrorCode.RANK_TOO_LARGE),
        (header(1, *[1] * 9) + bytes(8), ErrorCode.RANK_TOO_LARGE),
        (header(1, 2**63), ErrorCode.BAD_DIM),
        (header(1, 2**30, 2**31 - 1), ErrorCode.TOO_LARGE),
        (header(1, 2) + bytes(15), ErrorCode.BYTE_LENGTH),
        (header(1, 2) + bytes(17), ErrorCode.BYTE_LENGTH),
    ],
)
def test_refusals(data: bytes, code: ErrorCode) -> None:
    with pytest.raises(ChainruleError) as caught:
        decode_header(data)
    assert caught.value.code is code


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.binary(max_size=40), st.integers(0, 60))
def test_any_bytes_are_a_tensor_or_refused(tail: bytes, cut: int) -> None:
    data = (MAGIC + tail)[:cut] if cut < len(MAGIC) else MAGIC + tail
    try:
        assert encode_tensor(decode_tensor(data))[: len(MAGIC)] == MAGIC
    except ChainruleError as error:
        assert error.code is not ErrorCode.INTERNAL


def test_complex_arrays_are_refused() -> None:
    with pytest.raises(ChainruleError, match="complex128"):
        aval_of(np.zeros(2, complex))


def test_a_header_needs_no_elements() -> None:
    aval = aval_of(np.zeros((3, 4)))
    assert decode_header(tensor_header(aval) + bytes(96)) == (aval, len(MAGIC) + 18)
