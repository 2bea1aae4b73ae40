"""A file is replaced whole or not at all."""

import errno
from pathlib import Path

import pytest

from chainrule_server.storage.disk import LinuxDisk
from chainrule_server.storage.files import read_file, remove_tree, replace_file
from support.faulty_disk import FaultyDisk


def test_a_file_is_replaced_and_read(tmp_path: Path) -> None:
    disk = LinuxDisk()
    for data in (b"one", b"", b"x" * 100_000):
        replace_file(disk, tmp_path / "file", data)
        assert read_file(disk, tmp_path / "file") == data
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("k", range(1, 6))
def test_a_failure_leaves_the_old_content(tmp_path: Path, k: int) -> None:
    disk = FaultyDisk(errno.ENOSPC, short=True)
    replace_file(disk, tmp_path / "file", b"old")
    disk.arm(k)
    with pytest.raises(OSError, match="No space"):
        replace_file(disk, tmp_path / "file", b"new")
    disk.arm(0)
    assert read_file(disk, tmp_path / "file") == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_tree_is_removed_without_following_links(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_bytes(b"stays")
    inner = tmp_path / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").write_bytes(b"goes")
    (inner / "link").symlink_to(outside)
    remove_tree(LinuxDisk(), tmp_path / "tree")
    assert not (tmp_path / "tree").exists()
    assert (outside / "file").read_bytes() == b"stays"
    remove_tree(LinuxDisk(), tmp_path / "tree")
