"""The disk itself, and what its failures are called."""

import errno
import os
from pathlib import Path

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule_server.storage.disk import LinuxDisk
from chainrule_server.storage.failures import storage_error, translated


def test_blocks_are_allocated_not_promised(tmp_path: Path) -> None:
    disk = LinuxDisk()
    fd = disk.open(tmp_path / "file", create=True)
    disk.allocate(fd, 1 << 20)
    found = os.fstat(fd)
    assert found.st_size == 1 << 20
    assert found.st_blocks * 512 >= 1 << 20
    disk.close(fd)


def test_reads_end_with_the_file_and_writes_are_whole(tmp_path: Path) -> None:
    disk = LinuxDisk()
    fd = disk.open(tmp_path / "file", create=True)
    disk.write(fd, memoryview(b"abcdef"), 2)
    assert disk.read(fd, 100, 0) == b"\0\0abcdef"
    disk.truncate(fd, 4)
    assert disk.size(fd) == 4
    assert disk.map(fd, 4)[:] == b"\0\0ab"
    disk.close(fd)


def test_a_link_at_the_end_of_a_path_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        LinuxDisk().open(tmp_path / "link")


def test_a_memory_file_has_no_name(tmp_path: Path) -> None:
    disk = LinuxDisk()
    fd = disk.memory("test")
    disk.allocate(fd, 100)
    assert disk.size(fd) == 100
    disk.close(fd)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.STORAGE_FULL),
        (errno.EDQUOT, ErrorCode.STORAGE_FULL),
        (errno.EMFILE, ErrorCode.OVERLOADED),
        (errno.ENFILE, ErrorCode.OVERLOADED),
        (errno.EIO, ErrorCode.UNAVAILABLE),
        (errno.EROFS, ErrorCode.UNAVAILABLE),
    ],
)
def test_every_failure_has_a_reason_and_no_path(number: int, code: ErrorCode) -> None:
    error = storage_error(OSError(number, "text", "/secret/path"), "writing")
    assert error.code is code
    assert "/secret" not in str(error)


def test_only_failures_of_the_system_are_translated() -> None:
    with pytest.raises(ChainruleError), translated("trying"):
        raise OSError(errno.EIO, "text")
    with pytest.raises(ValueError, match="ours"), translated("trying"):
        raise ValueError("ours")
