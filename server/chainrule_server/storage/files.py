"""Whole small files: read, and replaced so that a reader sees the old one or the new one."""

from pathlib import Path

from chainrule_server.storage.disk import Disk


def read_file(disk: Disk, path: Path) -> bytes:
    """All bytes of a file.

    Raises:
        FileNotFoundError: there is none.
    """
    fd = disk.open(path)
    try:
        return read_range(disk, fd, 0, disk.size(fd))
    finally:
        disk.close(fd)


def read_range(disk: Disk, fd: int, offset: int, n: int) -> bytes:
    """n bytes from offset; fewer only at the end of the file."""
    parts = []
    while n > 0:
        part = disk.read(fd, n, offset)
        if not part:
            break
        parts.append(part)
        offset += len(part)
        n -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def replace_file(disk: Disk, path: Path, data: bytes) -> None:
    """Write `path` through a file beside it; on any failure the old content stays.

    The order survives loss of power: the data, then the name, then the folder.
    """
    beside = path.with_name(path.name + ".new")
    try:
        fd = disk.open(beside, create=True)
        try:
            disk.truncate(fd, 0)
            disk.write(fd, data, 0)
            disk.sync(fd)
        finally:
            disk.close(fd)
        disk.rename(beside, path)
    except OSError:
        disk.unlink(beside)
        raise
    disk.sync_folder(path.parent)


def remove_tree(disk: Disk, path: Path) -> None:
    """A folder of files and folders, without following a link."""
    for name in disk.names(path):
        inner = path / name
        found = disk.stat(inner)
        # S_IFDIR; a link to a folder is unlinked, not entered.
        if found is not None and found.st_mode & 0o170000 == 0o040000:
            remove_tree(disk, inner)
        else:
            disk.unlink(inner)
    disk.remove_folder(path)
