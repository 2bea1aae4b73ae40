"""A disk whose k-th call fails."""

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from chainrule_server.storage.disk import LinuxDisk

P = ParamSpec("P")
T = TypeVar("T")


class FaultyDisk:
    """A real disk; calls are counted from `arm` on and the k-th raises `code`.

    Args:
        code: errno.
        short: a failing write leaves half of its bytes, as a full disk does.
    """

    def __init__(self, code: int, *, short: bool = False) -> None:
        self.calls = 0
        self.failed: str | None = None
        self._code = code
        self._short = short
        self._fail_at = 0
        self._disk = LinuxDisk()

    def arm(self, k: int) -> None:
        """Let the k-th call from now on fail; 0: none."""
        self.calls, self.failed, self._fail_at = 0, None, k

    def _call(self, name: str, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls += 1
        if self.calls == self._fail_at:
            self.failed = name
            raise OSError(self._code, os.strerror(self._code))
        return call(*args, **kwargs)

    def open(self, path: Path, *, create: bool = False) -> int:
        return self._call("open", self._disk.open, path, create=create)

    def close(self, fd: int) -> None:
        self._disk.close(fd)

    def size(self, fd: int) -> int:
        return self._call("size", self._disk.size, fd)

    def read(self, fd: int, n: int, offset: int) -> bytes:
        return self._call("read", self._disk.read, fd, n, offset)

    def write(self, fd: int, data: bytes | memoryview, offset: int) -> None:
        if self._short and self.calls + 1 == self._fail_at:
            self._disk.write(fd, memoryview(data)[: len(data) // 2], offset)
        self._call("write", self._disk.write, fd, data, offset)

    def allocate(self, fd: int, n: int) -> None:
        self._call("allocate", self._disk.allocate, fd, n)

    def truncate(self, fd: int, n: int) -> None:
        self._call("truncate", self._disk.truncate, fd, n)

    def sync(self, fd: int) -> None:
        self._call("sync", self._disk.sync, fd)

    def sync_folder(self, path: Path) -> None:
        self._call("sync_folder", self._disk.sync_folder, path)

    def rename(self, source: Path, target: Path) -> None:
        self._call("rename", self._disk.rename, source, target)

    def link(self, source: Path, target: Path) -> None:
        self._call("link", self._disk.link, source, target)

    def unlink(self, path: Path) -> None:
        self._call("unlink", self._disk.unlink, path)

    def make_folder(self, path: Path) -> None:
        self._call("make_folder", self._disk.make_folder, path)

    def remove_folder(self, path: Path) -> None:
        self._call("remove_folder", self._disk.remove_folder, path)

    def names(self, path: Path) -> tuple[str, ...]:
        return self._call("names", self._disk.names, path)

    def stat(self, path: Path) -> os.stat_result | None:
        return self._call("stat", self._disk.stat, path)

    def lock(self, fd: int) -> bool:
        return self._call("lock", self._disk.lock, fd)

    def memory(self, name: str) -> int:
        return self._call("memory", self._disk.memory, name)

    def map(self, fd: int, n: int) -> mmap.mmap:
        return self._call("map", self._disk.map, fd, n)
