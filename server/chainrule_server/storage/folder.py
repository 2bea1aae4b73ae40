"""The data folder: one owner at a time, known by name.

lock        who serves this folder; holds the lock as long as it lives
format      the version of everything beside it
sessions/   by tenant, then session
objects/    by tenant, then digest
uploads/    by tenant, then upload
checkpoints/  by tenant, then digest
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from chainrule.errors import ErrorCode, Unavailable, Unsupported
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.failures import translated
from chainrule_server.storage.files import read_file, read_range, replace_file

FORMAT = b"chainrule data folder 1\n"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Owner:
    """Who serves a folder: process id, start as ISO time, address."""

    pid: int
    started: str
    address: str

    def __str__(self) -> str:
        return f"pid {self.pid} at {self.address}, started {self.started}"


class DataFolder:
    """A folder under lock. The lock goes with the process, however it ends.

    Raises:
        Unavailable: another server holds the folder; the text and `owner` name it.
        Unsupported: the folder was written by a version with another format.
    """

    def __init__(self, path: Path, disk: Disk, owner: Owner) -> None:
        self.path = path
        self.disk = disk
        self.boot_id = boot_id()
        with translated("opening the data folder"):
            disk.make_folder(path)
            self._lock = disk.open(path / "lock", create=True)
        try:
            with translated("locking the data folder"):
                self._take(owner)
                self._check_format()
        except BaseException:
            disk.close(self._lock)
            raise

    def announce(self, owner: Owner) -> None:
        """Write who holds the lock; again when the address is known."""
        text = json.dumps(asdict(owner)).encode() + b"\n"
        self.disk.truncate(self._lock, 0)
        self.disk.write(self._lock, text, 0)

    def close(self) -> None:
        """Give the folder back."""
        self.disk.close(self._lock)

    def of_tenant(self, kind: str, tenant: str) -> Path:
        """The tenant's part of `kind`. Names on disk are ours: nothing a caller sent is a path."""
        return self.path / kind / hashlib.sha256(tenant.encode()).hexdigest()[:32]

    def _take(self, owner: Owner) -> None:
        if not self.disk.lock(self._lock):
            held = read_owner(self.disk, self._lock)
            raise Unavailable(
                f"data folder {self.path} is served by {held or 'another server'}",
                cure="stop that server or give another --data-dir",
                owner=held,
            )
        self.announce(owner)

    def _check_format(self) -> None:
        path = self.path / "format"
        if self.disk.stat(path) is None:
            replace_file(self.disk, path, FORMAT)
        found = read_file(self.disk, path)
        if found != FORMAT:
            raise Unsupported(
                f"data folder {self.path} has the format {found[:64]!r}, this server reads {FORMAT!r}",
                code=ErrorCode.UNSUPPORTED_VERSION,
                cure="use the version that wrote it, or give another --data-dir",
            )


def read_owner(disk: Disk, fd: int) -> Owner | None:
    """Who the lock file names; None while it is being written."""
    try:
        found = json.loads(read_range(disk, fd, 0, 4096))
        return Owner(int(found["pid"]), str(found["started"]), str(found["address"]))
    except (ValueError, KeyError, TypeError):
        return None


def boot_id() -> bytes:
    """16 bytes that change when the machine's kernel starts anew."""
    fd = os.open(_BOOT_ID, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bytes.fromhex(os.read(fd, 64).decode().strip().replace("-", ""))
    finally:
        os.close(fd)
