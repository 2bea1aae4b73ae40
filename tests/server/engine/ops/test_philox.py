"""Known answers of Random123 (its kat_vectors, philox4x32 with ten rounds)."""

import numpy as np
import pytest

from chainrule_server.engine.ops.philox import philox
from support import references

ONES = 0xFFFFFFFF
KNOWN = (
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES, ONES), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_known_answers(
    counter: tuple[int, ...], key: tuple[int, int], expected: tuple[int, ...]
) -> None:
    words = np.array([[c, 0, c] for c in counter], np.uint64)
    philox(words, key, np.empty((2, 3), np.uint64))
    assert tuple(words[:, 0].tolist()) == tuple(words[:, 2].tolist()) == expected
    assert tuple(references.philox(list(counter), list(key))) == expected
