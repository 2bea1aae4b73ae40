"""Log and header must tell one story: every cut, flip and rollback of a session's files, tried."""

import shutil
from pathlib import Path

import pytest

from chainrule.errors import ChainruleError, CorruptCheckpoint, ErrorCode
from chainrule.ir.tensors import Array
from chainrule_server.sessions.header import SLOT_BYTES
from chainrule_server.sessions.log import HEADER_BYTES, Log
from chainrule_server.storage.disk import LinuxDisk
from support.session_scene import Scene, equal, undisturbed

STEPS = 5


# The quick run tries few places, the slow one many.
STRIDES = [pytest.param(7, marks=pytest.mark.slow), pytest.param(89)]


def folder_of(data: Path) -> Path:
    """The folder of the only session."""
    (log,) = data.glob("sessions/*/*/log")
    return log.parent


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder after five steps and a SIGKILL."""
    data = tmp_path_factory.mktemp("left") / "data"
    scene = Scene(data)
    client = scene.create()
    for i in range(STEPS):
        client.step(i, cursor=b"at %d" % i)
    scene.end()
    return data


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Array]]:
    """The state after 0, 1, ... operations."""
    path = tmp_path_factory.mktemp("truth")
    return [undisturbed(path / str(n), n) for n in range(STEPS + 1)]


def ends(data: Path) -> list[int]:
    disk = LinuxDisk()
    log = Log.open(disk, disk.open(folder_of(data) / "log"))
    found = [HEADER_BYTES, *(entry.end for entry in log.entries())]
    log.close()
    return found


class Damaged:
    """Opens one copy of a data folder again and again, its files changed and put back."""

    def __init__(self, data: Path, copy: Path) -> None:
        shutil.copytree(data, copy)
        self.scene = Scene(copy)
        self.folder = folder_of(copy)
        self.files = {p.name: p.read_bytes() for p in self.folder.iterdir() if p.is_file()}

    def try_with(self, **files: bytes) -> tuple[int, dict[str, Array]] | ErrorCode:
        """Where the session stands and its state, or why it is refused."""
        for name, data in (self.files | files).items():
            (self.folder / name).write_bytes(data)
        try:
            client = self.scene.open()
            return client.seq - 1, client.state()
        except ChainruleError as error:
            return error.code
        finally:
            self.scene.registry.close()


@pytest.fixture
def damaged(left: Path, tmp_path: Path) -> Damaged:
    return Damaged(left, tmp_path / "copy")


def test_an_undamaged_session_goes_on_where_it_stood(
    damaged: Damaged, truth: list[dict[str, Array]]
) -> None:
    found = damaged.try_with()
    assert isinstance(found, tuple)
    assert found[0] == STEPS
    assert equal(found[1], truth[STEPS])


@pytest.mark.parametrize("stride", STRIDES)
def test_no_truncation_of_the_log_is_taken_for_history(damaged: Damaged, stride: int) -> None:
    log = damaged.files["log"]
    answers = {damaged.try_with(log=log[:n]) for n in range(len(log) - 1, -1, -stride)}
    assert answers == {ErrorCode.CORRUPT_CHECKPOINT}


@pytest.mark.parametrize("stride", STRIDES)
def test_no_flipped_bit_of_the_log_is_taken_for_history(damaged: Damaged, stride: int) -> None:
    log = bytearray(damaged.files["log"])
    for bit in range(0, 8 * len(log), stride):
        log[bit // 8] ^= 1 << bit % 8
        assert damaged.try_with(log=bytes(log)) is ErrorCode.CORRUPT_CHECKPOINT
        log[bit // 8] ^= 1 << bit % 8


@pytest.mark.parametrize("stride", STRIDES)
def test_a_flipped_bit_of_the_headers_changes_nothing(
    damaged: Damaged, truth: list[dict[str, Array]], stride: int
) -> None:
    """One damaged slot leaves the other one; the log says the rest."""
    state = bytearray(damaged.files["state"])
    for bit in range(0, 8 * 2 * SLOT_BYTES, stride):
        state[bit // 8] ^= 1 << bit % 8
        found = damaged.try_with(state=bytes(state))
        state[bit // 8] ^= 1 << bit % 8
        assert isinstance(found, tuple)
        assert found[0] == STEPS
        assert equal(found[1], truth[STEPS])


def test_two_damaged_headers_are_no_witness(damaged: Damaged) -> None:
    state = bytearray(damaged.files["state"])
    state[20] ^= 1
    state[SLOT_BYTES + 20] ^= 1
    assert damaged.try_with(state=bytes(state)) is ErrorCode.CORRUPT_CHECKPOINT


def test_a_torn_tail_is_cut(damaged: Damaged, truth: list[dict[str, Array]]) -> None:
    log = damaged.files["log"]
    record = log[-200:]
    for tail in (b"\0", b"\xff" * 500, record[:150], bytes(10_000)):
        found = damaged.try_with(log=log + tail)
        assert isinstance(found, tuple)
        assert (damaged.folder / "log").read_bytes()[: len(log)] == log
        assert equal(found[1], truth[STEPS])


def test_a_state_of_an_earlier_moment_is_not_continued(damaged: Damaged, tmp_path: Path) -> None:
    scene = Scene(tmp_path / "earlier")
    client = scene.create()
    states = []
    for i in range(STEPS):
        client.step(i, cursor=b"at %d" % i)
        states.append((folder_of(tmp_path / "earlier") / "state").read_bytes())
    manifest = (folder_of(tmp_path / "earlier") / "manifest").read_bytes()
    log = (folder_of(tmp_path / "earlier") / "log").read_bytes()
    scene.end()
    found = [damaged.try_with(manifest=manifest, log=log, state=state) for state in states]
    assert found[: STEPS - 2] == [ErrorCode.CORRUPT_CHECKPOINT] * (STEPS - 2)
    # One behind: as if the server had ended between log and header. The step's buffer is not there, and
    # nothing but a digest of the state could tell; an older backup of one file alone is no crash of ours.
    assert isinstance(found[-1], tuple)


@pytest.mark.parametrize("name", ["log", "state", "manifest"])
def test_a_missing_file_sets_one_session_aside_and_the_others_are_served(
    name: str, tmp_path: Path
) -> None:
    scene = Scene(tmp_path / "data")
    scene.create().step(0)
    folder = folder_of(tmp_path / "data")
    scene.create("other").step(0)
    scene.end()
    (folder / name).unlink()
    again = Scene(tmp_path / "data")
    with pytest.raises(CorruptCheckpoint):
        again.open()
    assert again.open("other").step(1).seq == 2
    again.end()


def test_files_of_two_sessions_do_not_mix(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    scene.create().step(0)
    mine = folder_of(tmp_path / "data")
    scene.create("other").step(0)
    (other,) = (p for p in mine.parent.iterdir() if p != mine)
    scene.end()
    shutil.copy(other / "log", mine / "log")
    again = Scene(tmp_path / "data")
    with pytest.raises(CorruptCheckpoint):
        again.open()
    again.end()


def test_after_another_boot_only_a_proven_state_is_served(tmp_path: Path) -> None:
    def start(boot: bytes) -> Scene:
        return Scene(tmp_path / "data", boot_id=boot)

    scene = start(b"1" * 16)
    scene.create("drained").step(0)
    assert scene.registry.drain(0.0) == ()
    scene.end()
    scene = start(b"1" * 16)
    scene.create("cut off").step(0)
    scene.end()
    scene = start(b"2" * 16)
    assert scene.open("drained").step(1).durable_seq == 1
    with pytest.raises(ChainruleError) as info:
        scene.open("cut off")
    assert info.value.code is ErrorCode.STEPS_LOST
    scene.end()


def test_a_flipped_bit_of_a_proven_state_is_seen(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    scene.create().step(0)
    scene.registry.drain(0.0)
    scene.end()
    path = folder_of(tmp_path / "data") / "state"
    state = bytearray(path.read_bytes())
    # Version 1 lies in the second buffer, the last page of the file.
    state[len(state) - 4096 + 70] ^= 4
    path.write_bytes(state)
    again = Scene(tmp_path / "data")
    with pytest.raises(CorruptCheckpoint):
        again.open()
    again.end()


def test_a_state_file_that_is_one_operation_old_is_not_taken_for_a_late_header(
    tmp_path: Path,
) -> None:
    """The log may be one record ahead of the header; the buffer that it speaks of must then be there."""
    scene = Scene(tmp_path / "data")
    client = scene.create()
    client.step(0)
    for i in range(1, 4):
        state = folder_of(tmp_path / "data") / "state"
        before = state.read_bytes()
        client.step(i)
        after = state.read_bytes()
        scene.end()
        state.write_bytes(before)
        scene = Scene(tmp_path / "data")
        with pytest.raises(CorruptCheckpoint, match=f"the one that operation {i + 1} left"):
            scene.open()
        scene.end()
        # The header alone may be late: the commit was made.
        state.write_bytes(before[: 2 * SLOT_BYTES] + after[2 * SLOT_BYTES :])
        scene = Scene(tmp_path / "data")
        client.registry = scene.registry
        assert client.state()["buffers/seen"] == i + 1
        scene.end()
        state.write_bytes(after)
        scene = Scene(tmp_path / "data")
        client.registry = scene.registry
    scene.end()
