"""The system calls of storage, as a small interface and its implementation on Linux.

Everything that the server keeps goes through a `Disk`, so a test can fail the k-th call, and a recorder
can replay every order in which calls may reach a platter. Methods raise OSError as the kernel does;
`failures.translated` turns it into an error of ours where the caller knows what was being done.
"""

import contextlib
import fcntl
import mmap
import os
from pathlib import Path
from typing import Protocol

# A link planted at the end of a path must not lead out of the data folder.
_SAFE = os.O_NOFOLLOW | os.O_CLOEXEC


class Disk(Protocol):
    """What the rooms above may ask of a file system."""

    def open(self, path: Path, *, create: bool = False) -> int:
        """A descriptor for reading and writing; `create` makes the file where it is missing."""

    def close(self, fd: int) -> None:
        """Give a descriptor back."""

    def size(self, fd: int) -> int:
        """Bytes of a file."""

    def read(self, fd: int, n: int, offset: int) -> bytes:
        """Up to n bytes; fewer only at the end of the file."""

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        """All bytes, in one call where the kernel takes them in one."""

    def allocate(self, fd: int, n: int) -> None:
        """Blocks for the first n bytes, so that no later store through a mapping meets a full disk."""

    def truncate(self, fd: int, n: int) -> None:
        """Cut or extend to n bytes."""

    def sync(self, fd: int) -> None:
        """Until the data and the size are on the device."""

    def sync_folder(self, path: Path) -> None:
        """Until the names in a folder are on the device."""

    def rename(self, source: Path, target: Path) -> None:
        """Atomic; replaces a file."""

    def link(self, source: Path, target: Path) -> None:
        """A second name of the same file."""

    def unlink(self, path: Path) -> None:
        """Take a name away; nothing where it is missing."""

    def make_folder(self, path: Path) -> None:
        """With its parents, for the owner alone; nothing where it exists."""

    def remove_folder(self, path: Path) -> None:
        """An empty one; nothing where it is missing."""

    def names(self, path: Path) -> tuple[str, ...]:
        """Names in a folder, sorted; none where it is missing."""

    def stat(self, path: Path) -> os.stat_result | None:
        """Of the name itself, not of what a link points at; None where it is missing."""

    def lock(self, fd: int) -> bool:
        """Take the file's lock for as long as the descriptor lives; False where another has it."""

    def memory(self, name: str) -> int:
        """A file without a name that lives as long as its descriptors."""

    def map(self, fd: int, n: int) -> mmap.mmap:
        """The first n bytes, read only; outlives the descriptor."""


class LinuxDisk:
    """The real one. Without state, so one serves all threads."""

    def open(self, path: Path, *, create: bool = False) -> int:
        return os.open(path, os.O_RDWR | _SAFE | (os.O_CREAT if create else 0), 0o600)

    def close(self, fd: int) -> None:
        os.close(fd)

    def size(self, fd: int) -> int:
        return os.fstat(fd).st_size

    def read(self, fd: int, n: int, offset: int) -> bytes:
        return os.pread(fd, n, offset)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        done = os.pwrite(fd, data, offset)
        view = memoryview(data)
        while done < len(view):
            done += os.pwrite(fd, view[done:], offset + done)

    def allocate(self, fd: int, n: int) -> None:
        os.posix_fallocate(fd, 0, n)

    def truncate(self, fd: int, n: int) -> None:
        os.ftruncate(fd, n)

    def sync(self, fd: int) -> None:
        os.fdatasync(fd)

    def sync_folder(self, path: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _SAFE)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        os.rename(source, target)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target, follow_symlinks=False)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def make_folder(self, path: Path) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)

    def remove_folder(self, path: Path) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(path)

    def names(self, path: Path) -> tuple[str, ...]:
        try:
            return tuple(sorted(os.listdir(path)))
        except FileNotFoundError:
            return ()

    def stat(self, path: Path) -> os.stat_result | None:
        try:
            return os.lstat(path)
        except FileNotFoundError:
            return None

    def lock(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def memory(self, name: str) -> int:
        return os.memfd_create(name, os.MFD_CLOEXEC)

    def map(self, fd: int, n: int) -> mmap.mmap:
        return mmap.mmap(fd, n, prot=mmap.PROT_READ)
