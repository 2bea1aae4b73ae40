"""Philox4x32-10: random bits as a pure function of key and counter.

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), and its Random123 library.
"""

import numpy as np

from chainrule_server.engine.ops.table import Array

ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)

Word = int | Array

# Bytes a block that `philox` works in: four words and two products, each as uint64.
BYTES_PER_BLOCK = 6 * 8


def philox(words: Array, key: tuple[Word, Word], products: Array) -> None:
    """Replace counters by random words, in place.

    Args:
        words: uint64 (4, n), each below 2^32: word 0 of every counter, then word 1, ...
        key: two words for all counters, or two uint64 (n,), each below 2^32: a key a counter.
        products: uint64 (2, n), room to work in.
    """
    x0, x1, x2, x3 = words
    p0, p1 = products
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(ROUNDS):
        # p = multiplier * x is 64 bits; its high half goes across, its low half stays
        np.multiply(x0, np.uint64(_MULTIPLIERS[0]), p0)
        np.multiply(x2, np.uint64(_MULTIPLIERS[1]), p1)
        np.right_shift(p1, _HALF, x0)
        np.bitwise_xor(x0, x1, x0)
        np.bitwise_xor(x0, k0, x0)
        np.right_shift(p0, _HALF, x2)
        np.bitwise_xor(x2, x3, x2)
        np.bitwise_xor(x2, k1, x2)
        np.bitwise_and(p1, _LOW, x1)
        np.bitwise_and(p0, _LOW, x3)
        k0, k1 = (k0 + _WEYL[0]) & _LOW, (k1 + _WEYL[1]) & _LOW
