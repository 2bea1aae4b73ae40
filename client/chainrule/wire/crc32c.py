"""CRC-32C (Castagnoli) of chunks, vectorised: the checksum that storage systems and SSE4.2 speak.

The bytes are cut into equal lanes whose remainders are taken side by side, one table look-up a byte for all
lanes at once; then neighbouring lanes are joined in pairs. Joining is linear over GF(2): the remainder of
A||B is that of A moved on by the length of B, plus that of B.
Source: RFC 3720, appendix B.4 (polynomial and test vectors); zlib's crc32_combine for the joining.
"""

from typing import Any

import numpy as np

_POLYNOMIAL = 0x82F63B78
_LANES = 4096
_Words = np.ndarray[Any, np.dtype[np.uint32]]


def crc32c(data: bytes) -> int:
    """The checksum, 32 bits; 1 MiB takes some milliseconds."""
    whole = len(data) // _LANES * _LANES
    head = _advance_many(data[:whole]) if whole else 0
    # The register starts as all ones; moved over the whole message, that adds to a linear part.
    register = _matrix_times(_zeros_matrix(whole), 0xFFFFFFFF) ^ head
    for byte in data[whole:]:
        register = int(_TABLE[(register ^ byte) & 0xFF]) ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def _advance_many(data: bytes) -> int:
    """The register after data, begun at zero; the length is a multiple of the lanes."""
    lanes = np.frombuffer(data, np.uint8).reshape(_LANES, -1)
    length = lanes.shape[1]
    registers: _Words = np.zeros(_LANES, np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        registers = _TABLE[(registers ^ column) & 0xFF] ^ (registers >> 8)
    matrix = _zeros_matrix(length)
    while len(registers) > 1:
        registers = _times(matrix, registers[0::2]) ^ registers[1::2]
        matrix = _times(matrix, matrix)
    return int(registers[0])


def _make_table() -> _Words:
    table: _Words = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


def _times(matrix: _Words, vectors: _Words) -> _Words:
    """matrix (32 columns) times each vector over GF(2)."""
    out: _Words = np.zeros_like(vectors)
    for bit in range(32):
        out ^= np.where((vectors >> np.uint32(bit)) & 1, matrix[bit], np.uint32(0))
    return out


def _zeros_matrix(n: int) -> _Words:
    """What n zero bytes do to a register: a power of what one does, by squaring."""
    units: _Words = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result = units.copy()
    power = _TABLE[units & 0xFF] ^ (units >> 8)
    while n:
        if n & 1:
            result = _times(power, result)
        power = _times(power, power)
        n >>= 1
    return result


def _matrix_times(matrix: _Words, vector: int) -> int:
    return int(_times(matrix, np.array([vector], np.uint32))[0])


_TABLE = _make_table()
