"""The log of a session: an append-only file of records that chain.

    header:   8s magic  H version  H zero  16s session id  Q base seq  32s base chain  I crc32
    records:  one after the other (record.py)

A record is added by one write. A reader stops at the first frame that isn't whole, isn't sound or doesn't
follow from the one before; whether that is a torn tail or damage, the state's header decides (recovery.py).
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from chainrule.errors import CorruptCheckpoint
from chainrule.ir.operations import next_chain
from chainrule_server.sessions.record import FRAME, Kind, Record, decode_record, frame_bytes
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.files import read_range

MAGIC = b"CRLOG\r\n\0"
VERSION = 1
_FIXED = struct.Struct("<8sHH16sQ32s")
_CRC = struct.Struct("<I")
HEADER_BYTES = _FIXED.size + _CRC.size
_PIECE = 1 << 20
_AHEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A record, where it begins and where the next one does, and the chain value after it."""

    record: Record
    offset: int
    end: int
    chain: bytes


class Log:
    """A log behind a descriptor that this object owns. One writer; the session holds the lock.

    Attributes:
        end: bytes up to the end of the last sound record.
        is_torn: bytes of a failed append may follow.
    """

    def __init__(self, disk: Disk, fd: int, session_id: bytes, seq: int, chain: bytes) -> None:
        self.session_id = session_id
        self.base_seq = seq
        self.base_chain = chain
        self.end = HEADER_BYTES
        self._disk = disk
        self._fd = fd
        self.is_torn = False

    @classmethod
    def create(cls, disk: Disk, fd: int, session_id: bytes, seq: int, chain: bytes) -> "Log":
        """Begin a log in an empty file, after operation `seq` whose chain value is `chain`."""
        data = _FIXED.pack(MAGIC, VERSION, 0, session_id, seq, chain)
        disk.write(fd, data + _CRC.pack(zlib.crc32(data)), 0)
        return cls(disk, fd, session_id, seq, chain)

    @classmethod
    def open(cls, disk: Disk, fd: int) -> "Log":
        """Read the header of a log; `entries` reads the rest.

        Raises:
            CorruptCheckpoint: the header is damaged or of another version.
        """
        head = disk.read(fd, HEADER_BYTES, 0)
        data = head[: _FIXED.size]
        if len(head) < HEADER_BYTES or _CRC.unpack_from(head, _FIXED.size) != (zlib.crc32(data),):
            raise CorruptCheckpoint("the header of the session's log is damaged")
        magic, version, _, session_id, seq, chain = _FIXED.unpack(data)
        if magic != MAGIC or version != VERSION:
            raise CorruptCheckpoint(f"the session's log has version {version}, not {VERSION}")
        return cls(disk, fd, session_id, seq, chain)

    def entries(self) -> Iterator[Entry]:
        """Every sound record in order, in one pass; `end` moves behind each."""
        seq, chain, epoch = self.base_seq, self.base_chain, 0
        self.end = HEADER_BYTES
        for frame in self._frames():
            record = decode_record(frame)
            if record is None or record.prev != chain or record.epoch < epoch:
                return
            is_operation = record.kind is Kind.OPERATION
            if record.seq != seq + is_operation:
                return
            if is_operation:
                seq, chain = record.seq, next_chain(chain, record.digest)
            epoch = record.epoch
            offset, self.end = self.end, self.end + len(frame)
            yield Entry(record, offset, self.end, chain)

    def history(self) -> Iterator[Entry]:
        """The records that are committed now, read again; the log may grow meanwhile."""
        reader = Log(self._disk, self._fd, self.session_id, self.base_seq, self.base_chain)
        end = self.end
        for entry in reader.entries():
            if entry.end > end:
                return
            yield entry

    def beyond(self, last: int) -> Iterator[Record]:
        """Sound records behind the end, which what is damaged there hides from `entries`.

        Args:
            last: the last operation before the end; only what may follow it is looked at, so that the
                search takes time in proportion to the bytes.
        """
        data = memoryview(read_range(self._disk, self._fd, self.end, self._disk.size(self._fd)))
        for at in range(len(data)):
            n = frame_bytes(data[at : at + FRAME.size])
            if n is None or at + n > len(data):
                continue
            seq = FRAME.unpack_from(data, at)[1]
            record = decode_record(data[at : at + n]) if last <= seq < last + _AHEAD else None
            if record is not None:
                yield record

    def append(self, record: Record) -> Entry:
        """Add a record by one write.

        Raises:
            OSError: the log is as it was; where even that failed, the next append cuts the rest first.
        """
        if self.is_torn:
            self.cut()
        frame = record.encode()
        try:
            self._disk.write(self._fd, frame, self.end)
        except OSError:
            self.is_torn = True
            self.cut()
            raise
        chain = record.prev
        if record.kind is Kind.OPERATION:
            chain = next_chain(chain, record.digest)
        offset, self.end = self.end, self.end + len(frame)
        return Entry(record, offset, self.end, chain)

    def read(self, offset: int) -> Record:
        """The record that begins at offset.

        Raises:
            CorruptCheckpoint: it has been damaged since it was found sound.
        """
        n = frame_bytes(self._disk.read(self._fd, FRAME.size, offset))
        record = n and decode_record(read_range(self._disk, self._fd, offset, n))
        if not record:
            raise CorruptCheckpoint(f"the record at byte {offset} of the session's log is damaged")
        return record

    @property
    def has_tail(self) -> bool:
        """Whether bytes follow the last sound record."""
        return self._disk.size(self._fd) > self.end

    def cut(self) -> None:
        """Take away what follows the last sound record."""
        self._disk.truncate(self._fd, self.end)
        self.is_torn = False

    def sync(self) -> None:
        """Until every record is on the device."""
        self._disk.sync(self._fd)

    def close(self) -> None:
        """Give the descriptor back."""
        self._disk.close(self._fd)

    def _frames(self) -> Iterator[memoryview]:
        """Whole frames from the first record on, read in pieces of 1 MiB."""
        rest, at = b"", HEADER_BYTES
        while piece := self._disk.read(self._fd, max(_PIECE, self._wanted(rest)), at):
            at += len(piece)
            view, start = memoryview(rest + piece), 0
            while (n := frame_bytes(view[start:])) is not None and start + n <= len(view):
                yield view[start : start + n]
                start += n
            if n is None and len(view) - start >= FRAME.size:
                return
            rest = bytes(view[start:])

    @staticmethod
    def _wanted(rest: bytes) -> int:
        return frame_bytes(rest) or 0
