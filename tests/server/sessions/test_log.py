"""Records chain, append is one write, and a reader stops at the first byte that isn't sound."""

import errno
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import CorruptCheckpoint
from chainrule.ir.operations import Method, next_chain
from chainrule_server.sessions.log import HEADER_BYTES, Log
from chainrule_server.sessions.record import Kind, Record
from chainrule_server.storage.disk import LinuxDisk
from support.faulty_disk import FaultyDisk

SESSION, START = b"s" * 16, b"c" * 32
DISK = LinuxDisk()


def row(seq: int, prev: bytes, cursor: bytes = b"", epoch: int = 1) -> Record:
    digest = bytes([seq]) * 32
    return Record(
        Kind.OPERATION, seq, prev, Method.STEP, epoch, bytes(16), digest, seq, seq, cursor, b"reply"
    )


def filled(path: Path, n: int = 5) -> tuple[Log, list[Record]]:
    log = Log.create(DISK, DISK.open(path, create=True), SESSION, 0, START)
    rows, chain = [], START
    for seq in range(1, n + 1):
        rows.append(row(seq, chain, cursor=b"x" * (7 * seq)))
        chain = log.append(rows[-1]).chain
    return log, rows


def read(path: Path) -> tuple[Log, list[Record]]:
    log = Log.open(DISK, DISK.open(path))
    records = [entry.record for entry in log.entries()]
    return log, records


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    written, rows = filled(tmp_path / "log")
    log, found = read(tmp_path / "log")
    assert (log.session_id, log.base_seq, log.base_chain) == (SESSION, 0, START)
    assert found == rows
    assert log.end == written.end
    assert not log.has_tail
    written.close()
    log.close()


def test_every_truncation_leaves_a_prefix_of_whole_records(tmp_path: Path) -> None:
    log, rows = filled(tmp_path / "log")
    ends = [entry.end for entry in log.entries()]
    log.close()
    data = (tmp_path / "log").read_bytes()
    for n in range(HEADER_BYTES, len(data)):
        (tmp_path / "cut").write_bytes(data[:n])
        cut, found = read(tmp_path / "cut")
        whole = sum(end <= n for end in ends)
        assert found == rows[:whole]
        assert cut.has_tail == (n not in (HEADER_BYTES, *ends))
        cut.close()


def test_bits_count_wherever_they_are(tmp_path: Path) -> None:
    """A flipped bit ends the history before its record, or makes the header unreadable."""
    log, rows = filled(tmp_path / "log", 3)
    ends = [entry.end for entry in log.entries()]
    log.close()
    data = bytearray((tmp_path / "log").read_bytes())
    for bit in range(0, 8 * len(data), 11):
        data[bit // 8] ^= 1 << bit % 8
        (tmp_path / "bad").write_bytes(data)
        data[bit // 8] ^= 1 << bit % 8
        if bit // 8 < HEADER_BYTES:
            fd = DISK.open(tmp_path / "bad")
            with pytest.raises(CorruptCheckpoint):
                Log.open(DISK, fd)
            DISK.close(fd)
            continue
        bad, found = read(tmp_path / "bad")
        assert found == rows[: sum(end <= bit // 8 for end in ends)]
        bad.close()


def test_a_record_of_another_history_ends_the_log(tmp_path: Path) -> None:
    log, rows = filled(tmp_path / "log", 2)
    log.append(row(3, b"z" * 32))
    _, found = read(tmp_path / "log")
    assert found == rows


def test_a_number_or_an_epoch_that_goes_back_ends_the_log(tmp_path: Path) -> None:
    log, rows = filled(tmp_path / "log", 2)
    chain = next_chain(rows[1].prev, rows[1].digest)
    end = log.end
    for wrong in (row(2, chain), row(4, chain), row(3, chain, epoch=0)):
        log.end = end
        log.append(wrong)
        assert read(tmp_path / "log")[1] == rows


def test_a_failed_append_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    disk = FaultyDisk(errno.ENOSPC, short=True)
    log = Log.create(disk, disk.open(tmp_path / "log", create=True), SESSION, 0, START)
    first = log.append(row(1, START))
    disk.arm(1)
    with pytest.raises(OSError, match="No space"):
        log.append(row(2, first.chain))
    assert (tmp_path / "log").stat().st_size == first.end
    log.append(row(2, first.chain))
    assert [r.seq for r in read(tmp_path / "log")[1]] == [1, 2]


def test_a_tail_that_could_not_be_taken_away_is_gone_before_the_next_record(tmp_path: Path) -> None:
    class Stuck(FaultyDisk):
        stuck = False

        def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
            super().write(fd, data, offset)
            if self.stuck:
                raise OSError(errno.EIO, "stuck")

        def truncate(self, fd: int, n: int) -> None:
            if self.stuck:
                raise OSError(errno.EIO, "stuck")
            super().truncate(fd, n)

    disk = Stuck(errno.EIO)
    log = Log.create(disk, disk.open(tmp_path / "log", create=True), SESSION, 0, START)
    disk.stuck = True
    with pytest.raises(OSError, match="stuck"):
        log.append(row(1, START, cursor=b"long" * 100))
    assert log.is_torn
    disk.stuck = False
    log.append(row(1, START))
    _, found = read(tmp_path / "log")
    assert found == [row(1, START)]


def test_large_logs_are_read_in_pieces(tmp_path: Path) -> None:
    log = Log.create(DISK, DISK.open(tmp_path / "log", create=True), SESSION, 0, START)
    random, chain = np.random.default_rng(0), START
    sizes = random.integers(1, 60_000, 100)
    for seq, size in enumerate(sizes, 1):
        chain = log.append(row(seq, chain, cursor=random.bytes(size))).chain
    _, found = read(tmp_path / "log")
    assert [len(r.cursor) for r in found] == sizes.tolist()


def test_a_record_can_be_read_alone(tmp_path: Path) -> None:
    log, rows = filled(tmp_path / "log")
    offsets = [entry.offset for entry in log.entries()]
    assert [log.read(offset) for offset in offsets] == rows
    with pytest.raises(CorruptCheckpoint):
        log.read(offsets[1] + 1)
