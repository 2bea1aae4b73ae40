"""What an operation of a session IS: its digest, and the chain that digests form.

Both sides compute these, so that a client knows the chain without a reply. docs/sessions.md specifies
every bit, with test vectors. An operation is known by its method, its body and its cursor; tensors enter
by their own digest, so inline or by object they are the same operation. Epoch, seq, prev, deadline,
authentication and debug data stay out: they say when and by whom, not what.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

OPERATION_MAGIC = b"chainrule.op.v1\0"
CHAIN_MAGIC = b"chainrule.chain.v1\0"
STATE_MAGIC = b"chainrule.state.v1\0"
MAX_CURSOR_BYTES = 64 * 1024


class Method(IntEnum):
    """Calls that change a session. Numbers are part of the digest."""

    CREATE = 1
    OPEN = 2
    STEP = 3
    FORWARD_BACKWARD = 4
    OPTIM_STEP = 5
    DISCARD_GRADIENTS = 6
    SET_STATE = 7
    SAVE = 8
    RESTORE = 9
    FORK = 10
    CLOSE = 11


@dataclass(frozen=True, slots=True)
class TensorDigest:
    """A tensor inside a body: the 32 bytes of `ir.tensors.tensor_digest`."""

    digest: bytes


Item = None | bytes | str | int | float | TensorDigest | Sequence["Item"]


def encode_item(item: Item) -> bytes:
    """One item: a tag byte, then its value. A bool is the integer 0 or 1."""
    if item is None:
        return b"\x00"
    if isinstance(item, bytes):
        return b"\x01" + struct.pack("<Q", len(item)) + item
    if isinstance(item, str):
        text = item.encode()
        return b"\x02" + struct.pack("<Q", len(text)) + text
    if isinstance(item, int):
        return b"\x03" + struct.pack("<Q", item)
    if isinstance(item, float):
        return b"\x04" + struct.pack("<d", item)
    if isinstance(item, TensorDigest):
        return b"\x05" + item.digest
    return b"\x06" + struct.pack("<Q", len(item)) + b"".join(map(encode_item, item))


def operation_digest(method: Method, cursor: bytes, body: Sequence[Item]) -> bytes:
    """SHA-256 over magic, u8 method, the cursor as an item and the body as a list (32 bytes)."""
    head = OPERATION_MAGIC + struct.pack("<B", method) + encode_item(cursor)
    return hashlib.sha256(head + encode_item(body)).digest()


def named(tensors: Sequence[tuple[str, bytes]]) -> tuple[Item, ...]:
    """Named tensors as an item: pairs of name and tensor digest, in the order sent."""
    return tuple((name, TensorDigest(digest)) for name, digest in tensors)


def step_digest(
    graph: bytes,
    batch: Sequence[tuple[str, bytes]],
    *,
    dataset: bytes | None = None,
    rows: Sequence[int] = (),
    weight: float = 1.0,
    cursor: bytes = b"",
    method: Method = Method.STEP,
) -> bytes:
    """Digest of a Step or ForwardBackward: graph digest, named batch, data set rows, weight."""
    reference: Item = None if dataset is None else (dataset, tuple(rows))
    return operation_digest(method, cursor, (graph, named(batch), reference, float(weight)))


def bare_digest(method: Method, cursor: bytes = b"") -> bytes:
    """Digest of an operation whose body is empty: OptimStep, DiscardGradients, Close."""
    return operation_digest(method, cursor, ())


def set_state_digest(tensors: Sequence[tuple[str, bytes]], cursor: bytes = b"") -> bytes:
    """Digest of a SetState: the named tensors."""
    return operation_digest(Method.SET_STATE, cursor, (named(tensors),))


def save_digest(name: str, cursor: bytes = b"") -> bytes:
    """Digest of a Save: the checkpoint's name."""
    return operation_digest(Method.SAVE, cursor, (name,))


def restore_digest(checkpoint: bytes, allow_drift: bool, cursor: bytes = b"") -> bytes:
    """Digest of a Restore: the checkpoint's digest, and whether other numerics are fine."""
    return operation_digest(Method.RESTORE, cursor, (checkpoint, int(allow_drift)))


def fork_digest(parent: bytes, at_seq: int, chain: bytes, name: str) -> bytes:
    """Digest of a Fork, from which the child's chain starts: parent, place and its chain, name."""
    return operation_digest(Method.FORK, b"", (parent, at_seq, chain, name))


def close_digest(cursor: bytes = b"") -> bytes:
    """Digest of a Close, whose body is empty."""
    return operation_digest(Method.CLOSE, cursor, ())


def first_chain(session_id: bytes, create_digest: bytes) -> bytes:
    """C_0: SHA-256 over magic, the 16 bytes of the session id and the digest of its Create."""
    return hashlib.sha256(CHAIN_MAGIC + session_id + create_digest).digest()


def next_chain(chain: bytes, digest: bytes) -> bytes:
    """C_n = SHA-256(C_(n-1) || digest_n)."""
    return hashlib.sha256(chain + digest).digest()


def state_digest(tensors: Sequence[tuple[str, bytes]]) -> bytes:
    """SHA-256 over magic and the list of (name, tensor digest) in order of name (32 bytes)."""
    return hashlib.sha256(STATE_MAGIC + encode_item(named(sorted(tensors)))).digest()
