"""The header of a state file: the second witness of how far the log has come.

Two slots, written in turn, each with its own CRC32: a header that was torn or damaged leaves the one
before it. Little-endian:

    8s magic  H version  H flags  I offset of buffer 0  Q serial  Q seq  Q step  Q epoch
    Q state version  Q log bytes  Q log records  32s chain  16s boot id  32s state digest  I crc32

Behind them a stamp for each buffer: 8s magic  Q version  32s chain  I crc32. It is written before the log's
record, so a state file that is one operation older than its log is told from one whose header is.
"""

import struct
import zlib
from dataclasses import dataclass

MAGIC = b"CRSTATE\0"
VERSION = 1
SLOT_BYTES = 512
_FIXED = struct.Struct("<8sHHIQQQQQQQ32s16s32s")
_CRC = struct.Struct("<I")
_CLEAN, _GROWN, _STAMPED = 1, 2, 4
_STAMP = struct.Struct("<8sQ32s")
_STAMP_MAGIC = b"CRSTAMP\0"


@dataclass(frozen=True, slots=True)
class StateHeader:
    """What was true at the last commit.

    Attributes:
        buffer_offset: of buffer 0 in the file, a multiple of the page size of the machine that made it.
        serial: counts header writes; its parity is the slot.
        seq, step, epoch, chain: of the session.
        state_version: counts writes of the state; its parity is the valid buffer.
        log_bytes, log_records: length of the log, every record of it committed.
        boot_id: of the kernel whose page cache the state may still be in.
        is_clean: log and state were on the device, and `state_digest` was theirs.
        is_stamped: each buffer has a stamp; False in files of before there were any.
        is_grown: the buffers have room for gradients behind the other leaves.
    """

    buffer_offset: int
    serial: int
    seq: int
    step: int
    epoch: int
    state_version: int
    log_bytes: int
    log_records: int
    chain: bytes
    boot_id: bytes
    is_clean: bool = False
    state_digest: bytes = bytes(32)
    is_grown: bool = False
    is_stamped: bool = True

    def encode(self) -> bytes:
        """One slot, without its padding."""
        data = _FIXED.pack(
            MAGIC,
            VERSION,
            self.is_clean * _CLEAN + self.is_grown * _GROWN + self.is_stamped * _STAMPED,
            self.buffer_offset,
            self.serial,
            self.seq,
            self.step,
            self.epoch,
            self.state_version,
            self.log_bytes,
            self.log_records,
            self.chain,
            self.boot_id,
            self.state_digest,
        )
        return data + _CRC.pack(zlib.crc32(data))

    @property
    def slot_offset(self) -> int:
        """Where this header goes in the file."""
        return SLOT_BYTES * (self.serial % 2)


def stamp_offset(version: int) -> int:
    """Where the stamp of a version's buffer lies: behind the two slots."""
    return SLOT_BYTES * (2 + version % 2)


def encode_stamp(version: int, chain: bytes) -> bytes:
    """The stamp of a buffer: its version, and the chain value of the operation that made it."""
    data = _STAMP.pack(_STAMP_MAGIC, version, chain)
    return data + _CRC.pack(zlib.crc32(data))


def decode_header(slot: bytes) -> StateHeader | None:
    """The header of one slot; None where it is damaged or of another format."""
    if len(slot) < _FIXED.size + _CRC.size:
        return None
    data = slot[: _FIXED.size]
    if _CRC.unpack_from(slot, _FIXED.size) != (zlib.crc32(data),):
        return None
    magic, version, flags, *rest = _FIXED.unpack(data)
    if magic != MAGIC or version != VERSION:
        return None
    offset, serial, seq, step, epoch, state_version, log_bytes, log_records = rest[:8]
    chain, boot, digest = rest[8:]
    return StateHeader(
        offset,
        serial,
        seq,
        step,
        epoch,
        state_version,
        log_bytes,
        log_records,
        chain,
        boot,
        bool(flags & _CLEAN),
        digest,
        bool(flags & _GROWN),
        bool(flags & _STAMPED),
    )
