"""The digests of operations, as docs/sessions.md gives them."""

import hashlib
import struct

import numpy as np
import pytest

from chainrule.ir.operations import (
    Method,
    TensorDigest,
    close_digest,
    encode_item,
    first_chain,
    next_chain,
    operation_digest,
    state_digest,
    step_digest,
)
from chainrule.ir.tensors import tensor_digest

TENSOR = tensor_digest(np.array([[1.0, 2.0]]))
STEP = step_digest(bytes(range(32)), [("batch/0", TENSOR)], cursor=b"row 3")


def test_items_are_a_tag_and_a_value() -> None:
    item = encode_item((None, b"ab", "é", 7, 0.5, TensorDigest(bytes(32))))
    assert item.hex() == (
        "060600000000000000" "00" "0102000000000000006162" "020200000000000000c3a9"
        "030700000000000000" "04000000000000e03f" "05" + 64 * "0"
    )  # fmt: skip


def test_the_vectors_of_the_specification() -> None:
    assert TENSOR.hex() == "18c2e09467385a622370d0a1a96fd450f06498f469283593580d95c7ec270008"
    assert STEP.hex() == "a0be4a30b44b3260ec112fc07393c3689f80b959afcf15f4ea593e7b67ccefaf"
    close = "297117e4dae1997d23b8280368db39cdd5f78956542938a77eeb088fe300af35"
    assert close_digest().hex() == close
    first = first_chain(bytes(range(16)), bytes(32))
    assert first.hex() == "7f7a309cfe8b27a455b0286e2fdce46129312aa7a48e468ad884710b195e5413"
    second = "36135e6cfa3c86ba0d1d47d3d8762f42bb73367d2cf87227511e336e5a500eb3"
    assert next_chain(first, STEP).hex() == second
    state = "3c575205cc810203371fef0b80a2cff6146d5285467a90428ba77d2ad151e181"
    assert state_digest([("params/w", TENSOR)]).hex() == state


def test_a_step_digest_can_be_written_out_by_hand() -> None:
    batch = b"\x06" + struct.pack("<Q", 1)
    batch += b"\x06" + struct.pack("<Q", 2) + b"\x02" + struct.pack("<Q", 7) + b"batch/0"
    batch += b"\x05" + TENSOR
    body = b"\x06" + struct.pack("<Q", 4) + b"\x01" + struct.pack("<Q", 32) + bytes(range(32))
    body += batch + b"\x00" + b"\x04" + struct.pack("<d", 1.0)
    cursor = b"\x01" + struct.pack("<Q", 5) + b"row 3"
    assert hashlib.sha256(b"chainrule.op.v1\0\x03" + cursor + body).digest() == STEP


@pytest.mark.parametrize(
    "other",
    [
        step_digest(bytes(32), [("batch/0", TENSOR)], cursor=b"row 3"),
        step_digest(bytes(range(32)), [("batch/1", TENSOR)], cursor=b"row 3"),
        step_digest(bytes(range(32)), [("batch/0", bytes(32))], cursor=b"row 3"),
        step_digest(bytes(range(32)), [("batch/0", TENSOR)], cursor=b"row 4"),
        step_digest(bytes(range(32)), [("batch/0", TENSOR)], weight=2.0, cursor=b"row 3"),
        step_digest(
            bytes(range(32)), [("batch/0", TENSOR)], dataset=TENSOR, rows=(1,), cursor=b"row 3"
        ),
    ],
)
def test_everything_that_an_operation_is_counts(other: bytes) -> None:
    assert other != STEP


def test_methods_with_equal_bodies_differ() -> None:
    digests = {operation_digest(method, b"", ()) for method in Method}
    assert len(digests) == len(Method)


def test_the_order_of_leaves_does_not_move_a_state_digest() -> None:
    leaves = [("params/a", TENSOR), ("params/b", bytes(32))]
    assert state_digest(leaves) == state_digest(leaves[::-1])
