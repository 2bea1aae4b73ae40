"""Sessions from outside: killed at every moment, failed at every system call, and against a model."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from chainrule.errors import ChainruleError, ErrorCode, NotFound
from chainrule_server.storage.folder import DataFolder
from support.faulty_disk import FaultyDisk
from support.session_child import STEPS
from support.session_scene import OWNER, Client, Scene, caller, equal, undisturbed

T = TypeVar("T")
TESTS = Path(__file__).parent.parent

MOMENTS = [
    ("create.before_rename", 1),
    ("create.after_rename", 1),
    ("open.before_log", 1),
    ("open.after_log", 1),
    *(
        (f"commit.{name}", k)
        for name in ("before_log", "after_log", "after_header")
        for k in (1, 4)
    ),
]


def live_and_die(data: Path, name: str, k: int) -> list[str]:
    """What a server acknowledged before it was killed."""
    done = subprocess.run(
        [sys.executable, "-m", "support.session_child", str(data), name, str(k)],
        cwd=TESTS,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.splitlines()


@pytest.mark.faults
@pytest.mark.parametrize(("name", "k"), MOMENTS)
def test_killed_anywhere_nothing_acknowledged_is_lost_and_nothing_applied_twice(
    name: str, k: int, tmp_path: Path
) -> None:
    acknowledged = live_and_die(tmp_path / "data", name, k)
    scene = Scene(tmp_path / "data")
    # The client sends again what had no answer, and goes on; a restart fences nobody.
    client = scene.create()
    assert client.seq - 1 >= sum(line.startswith("step") for line in acknowledged)
    assert client.seq - 1 <= sum(line.startswith("step") for line in acknowledged) + 1
    client = scene.open()
    for i in range(client.seq - 1, STEPS):
        assert client.step(i).step == i + 1
    assert equal(client.state(), undisturbed(tmp_path / "undisturbed", STEPS))
    scene.end()


@pytest.mark.faults
@pytest.mark.parametrize("name", ["close.before_tombstone", "close.after_tombstone"])
def test_killed_while_closing_the_session_is_closed(name: str, tmp_path: Path) -> None:
    assert live_and_die(tmp_path / "data", name, 1)[-1] == f"step {STEPS - 1}"
    scene = Scene(tmp_path / "data")
    with pytest.raises(NotFound):
        scene.open()
    with pytest.raises(ChainruleError) as info:
        scene.create()
    assert info.value.code is ErrorCode.SESSION_CLOSED
    (folder,) = (tmp_path / "data").glob("sessions/*/*")
    assert {path.name for path in folder.iterdir()} == {"manifest", "tombstone"}
    scene.end()


def insist(call: Callable[[], T], codes: set[ErrorCode]) -> T:
    """Call until it succeeds, as a client does; every refusal must be one of the table."""
    for _ in range(3):
        try:
            return call()
        except ChainruleError as error:
            assert error.code in codes, error
    return call()


def life(scene: Scene, codes: set[ErrorCode]) -> Client:
    """A session's life under faults: every call is made again until it is answered."""
    insist(lambda: scene.create(), codes)
    client = insist(lambda: scene.open(), codes)
    for i in range(3):
        header, body = client.step_call(i)
        reply = insist(lambda h=header, b=body: scene.registry.apply(caller(), h, b), codes)  # type: ignore[misc]
        client.move_on(header)
        assert (reply.seq, reply.step, reply.chain) == (i + 1, i + 1, client.chain)
    insist(client.state, codes)
    return client


FAULTS = [
    (errno.ENOSPC, {ErrorCode.STORAGE_FULL}),
    (errno.EIO, {ErrorCode.UNAVAILABLE}),
    (errno.EMFILE, {ErrorCode.OVERLOADED}),
]


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize(("code", "codes"), FAULTS, ids=["ENOSPC", "EIO", "EMFILE"])
def test_a_failure_of_any_system_call_is_a_status_and_leaves_the_session_whole(
    code: int, codes: set[ErrorCode], tmp_path: Path
) -> None:
    truth = undisturbed(tmp_path / "truth", 3)
    k, failed = 0, "first"
    names = set()
    while failed:
        k += 1
        disk = FaultyDisk(code, short=True)
        scene = Scene(tmp_path / str(k), disk=disk)
        disk.arm(k)
        client = life(scene, codes)
        failed = disk.failed or ""
        disk.arm(0)
        names.add(failed)
        assert equal(client.state(), truth), (k, failed)
        scene.end()
        again = Scene(tmp_path / str(k))
        assert equal(again.open().state(), truth), (k, failed)
        again.end()
    assert {"open", "write", "allocate", "rename", "sync"} <= names


@pytest.mark.slow
@pytest.mark.slow
def test_descriptors_go_back_after_every_failure(tmp_path: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = count()
    for k in range(1, 60):
        disk = FaultyDisk(errno.EIO)
        scene = Scene(tmp_path / str(k), disk=disk)
        disk.arm(k)
        life(scene, {ErrorCode.UNAVAILABLE})
        scene.end()
        assert count() == before, (k, disk.failed)


def test_two_servers_on_one_folder_the_second_is_refused_with_the_owner(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    with pytest.raises(ChainruleError, match=f"pid {OWNER.pid} at {OWNER.address}") as info:
        DataFolder(tmp_path / "data", scene.disk, OWNER)
    assert info.value.facts["owner"] == OWNER
    scene.end()
    Scene(tmp_path / "data").end()
