"""CRC-32C against its definition and the vectors of RFC 3720."""

import pytest

from chainrule.wire.crc32c import crc32c


def bitwise(data: bytes) -> int:
    """The definition, a bit at a time."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"123456789", 0xE3069283),
    ],
)
def test_the_vectors_of_rfc_3720(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@pytest.mark.parametrize("n", [1, 4095, 4096, 4097, 8192, 10_001])
def test_lanes_and_rest_join_to_the_definition(n: int) -> None:
    data = bytes((7 * i * i + 3) % 256 for i in range(n))
    assert crc32c(data) == bitwise(data)
