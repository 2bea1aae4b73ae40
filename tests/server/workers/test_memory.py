"""Shared memory: really there, of fixed size, gone when closed; a full machine is an error."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import ErrorCode, Overloaded
from chainrule_server.workers.memory import Region, allocate, map_file

# A process whose files may not grow: the kernel's answer is the one of a full disk.
STARVED = """
import resource
from chainrule.errors import Overloaded
from chainrule_server.workers.memory import Region
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    Region("test", 1 << 20)
except Overloaded as error:
    print(error.code.name)
"""


def fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_region_is_zero_shared_and_gone_when_closed() -> None:
    before = fds()
    with Region("test", 10_000) as region:
        assert bytes(region.view) == bytes(10_000)
        other = map_file(region.fd, 0, 10_000, writable=False)
        region.view[9_999] = 7
        assert other[9_999] == 7
        assert other.readonly
        assert os.fstat(region.fd).st_blocks * 512 >= 10_000  # the pages are there already
        del other
    region.close()
    assert fds() == before


@pytest.mark.parametrize("size", [0, 100, 1 << 20])
def test_the_size_is_sealed(size: int) -> None:
    with Region("test", 4096) as region, pytest.raises(PermissionError):
        os.ftruncate(region.fd, size)


def test_an_array_outlives_its_region() -> None:
    region = Region("test", 64)
    array = np.frombuffer(region.view, np.uint8)
    region.close()
    array[:] = 1
    assert array.sum() == 64


def test_a_range_may_begin_anywhere() -> None:
    with Region("test", 3 * mmap.PAGESIZE) as region:
        region.view[mmap.PAGESIZE + 64] = 5
        view = map_file(region.fd, mmap.PAGESIZE + 64, 100, writable=True)
        assert len(view) == 100
        assert view[0] == 5
        view[99] = 6
        assert region.view[mmap.PAGESIZE + 163] == 6


def test_a_full_file_system_is_an_error(tmp_path: Path) -> None:
    shm = Path("/dev/shm")
    space = os.statvfs(shm)
    fd = os.open(shm, os.O_TMPFILE | os.O_RDWR)
    try:
        with pytest.raises(Overloaded, match="no room for") as caught:
            allocate(fd, (space.f_blocks + 1) * space.f_frsize)
        assert caught.value.code is ErrorCode.STORAGE_FULL
    finally:
        os.close(fd)


def test_a_region_that_does_not_fit_is_an_error_and_no_signal() -> None:
    done = subprocess.run([sys.executable, "-c", STARVED], capture_output=True, text=True)
    assert done.stdout == "STORAGE_FULL\n", done.stderr


def test_too_many_fds_is_an_error_of_the_same_kind() -> None:
    source = STARVED.replace("RLIMIT_FSIZE, (4096, 4096)", "RLIMIT_NOFILE, (3, 3)")
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout == "STORAGE_FULL\n", done.stderr
