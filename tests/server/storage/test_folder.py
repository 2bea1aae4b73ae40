"""One owner at a time, by name; one format; names on disk that no caller chose."""

import subprocess
import sys
from pathlib import Path

import pytest

from chainrule.errors import ErrorCode, Unavailable, Unsupported
from chainrule_server.storage.disk import LinuxDisk
from chainrule_server.storage.folder import DataFolder, Owner, boot_id

FIRST, SECOND = (
    Owner(17, "2026-01-01T00:00:00", "here:1"),
    Owner(18, "2026-01-02T00:00:00", "here:2"),
)


def test_the_second_owner_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    first = DataFolder(tmp_path, LinuxDisk(), FIRST)
    with pytest.raises(Unavailable, match="pid 17 at here:1") as info:
        DataFolder(tmp_path, LinuxDisk(), SECOND)
    assert info.value.facts["owner"] == FIRST
    first.announce(SECOND)
    with pytest.raises(Unavailable, match="pid 18 at here:2"):
        DataFolder(tmp_path, LinuxDisk(), FIRST)
    first.close()
    DataFolder(tmp_path, LinuxDisk(), SECOND).close()


@pytest.mark.faults
def test_the_lock_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, signal, pathlib;"
        "from chainrule_server.storage.folder import *; from chainrule_server.storage.disk import *;"
        "DataFolder(pathlib.Path(sys.argv[1]), LinuxDisk(), Owner(1, '', ''));"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=60)
    assert (tmp_path / "lock").exists()
    DataFolder(tmp_path, LinuxDisk(), FIRST).close()


def test_another_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    DataFolder(tmp_path, LinuxDisk(), FIRST).close()
    (tmp_path / "format").write_bytes(b"chainrule data folder 9\n")
    with pytest.raises(Unsupported) as info:
        DataFolder(tmp_path, LinuxDisk(), FIRST)
    assert info.value.code is ErrorCode.UNSUPPORTED_VERSION
    (tmp_path / "format").unlink()
    DataFolder(tmp_path, LinuxDisk(), FIRST).close()


def test_a_link_in_the_place_of_the_lock_leads_nowhere(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_bytes(b"mine")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "lock").symlink_to(target)
    with pytest.raises(Unavailable):
        DataFolder(tmp_path / "data", LinuxDisk(), FIRST)
    assert target.read_bytes() == b"mine"


def test_a_tenant_is_never_a_path(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path, LinuxDisk(), FIRST)
    place = folder.of_tenant("sessions", "../../etc")
    assert place.parent == tmp_path / "sessions"
    assert place != folder.of_tenant("sessions", "etc")
    folder.close()


def test_the_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    DataFolder(tmp_path / "data", LinuxDisk(), FIRST).close()
    assert (tmp_path / "data").stat().st_mode & 0o77 == 0
    assert (tmp_path / "data" / "lock").stat().st_mode & 0o77 == 0


def test_the_boot_id_is_sixteen_bytes_and_stays() -> None:
    assert len(boot_id()) == 16
    assert boot_id() == boot_id()
