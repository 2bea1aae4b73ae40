"""The random key of a step: a pure function of seed and step."""

import hashlib
import struct

import numpy as np

from chainrule.ir.tensors import Array

MAGIC = b"chainrule.key.v1"


def step_key(seed: int, step: int, batch: int = 0) -> Array:
    """uint32 (2,): the first 8 bytes of SHA-256(magic, u64 seed, u64 step), as two little-endian words.

    Args:
        seed: the session's.
        step: optimizer updates made before this one.
        batch: batches whose gradients have accumulated before; above 0 a third u64.
    """
    numbers = struct.pack("<QQ", seed, step) + (struct.pack("<Q", batch) if batch else b"")
    data = hashlib.sha256(MAGIC + numbers).digest()
    return np.frombuffer(data[:8], "<u4").copy()
