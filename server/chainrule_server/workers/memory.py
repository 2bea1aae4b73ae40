"""Shared memory without names: fallocated, sealed memfds, mapped where they are needed.

A memfd has no path and no size limit of /dev/shm, and is gone with its last holder, however that
one died. Its pages are allocated when it is made, so a full machine is an error here instead of a
SIGBUS later; the seals keep anybody who holds the fd from changing its size below a mapping.
"""

import errno
import fcntl
import mmap
import os
from types import TracebackType
from typing import Self

from chainrule.errors import ErrorCode, Overloaded

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_FULL = frozenset(
    {errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT, errno.EMFILE, errno.ENFILE}
)


def allocate(fd: int, nbytes: int) -> None:
    """Give a file `nbytes` that are really there.

    Raises:
        Overloaded: STORAGE_FULL, there is no room.
    """
    try:
        os.posix_fallocate(fd, 0, nbytes)
    except OSError as error:
        raise _full(nbytes, error) from error


class Region:
    """`nbytes` of shared memory: an fd to hand on and a view to use. Owned by one side.

    Attributes:
        fd: the sealed memfd, closed by `close`.
        nbytes: its size in bytes.
        view: writable bytes of it in this process.
    """

    __slots__ = ("fd", "nbytes", "view")

    def __init__(self, name: str, nbytes: int) -> None:
        """Make a region of zeros.

        Args:
            name: shown as /memfd:name in /proc, for people.
            nbytes: at least 1.

        Raises:
            Overloaded: STORAGE_FULL, there is no memory or no fd for it.
        """
        try:
            self.fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        except OSError as error:
            raise _full(nbytes, error) from error
        try:
            allocate(self.fd, nbytes)
            fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, _SEALS)
            self.view = map_file(self.fd, 0, nbytes, writable=True)
        except OSError as error:
            os.close(self.fd)
            raise _full(nbytes, error) from error
        except BaseException:
            os.close(self.fd)
            raise
        self.nbytes = nbytes

    def close(self) -> None:
        """Give it back. Arrays that still look at it keep its memory, never the fd."""
        if self.fd < 0:
            return
        os.close(self.fd)
        self.fd = -1
        self.view = memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def map_file(fd: int, offset: int, nbytes: int, *, writable: bool) -> memoryview:
    """`nbytes` of a file from `offset`, shared with everybody else who maps it.

    The fd may be closed afterwards; the mapping goes with the last view of it.

    Raises:
        OSError: the range can't be mapped.
    """
    # A mapping begins at a page; what lies before the offset is cut off again.
    skip = offset % mmap.ALLOCATIONGRANULARITY
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    mapped = mmap.mmap(fd, skip + nbytes, mmap.MAP_SHARED, protection, offset=offset - skip)
    return memoryview(mapped)[skip:]


def _full(nbytes: int, error: OSError) -> Exception:
    if error.errno not in _FULL:
        return error
    return Overloaded(
        f"no room for {nbytes} bytes of shared memory ({os.strerror(error.errno or 0)})",
        code=ErrorCode.STORAGE_FULL,
        cure="send a smaller batch, or try again later",
        value=nbytes,
    )
