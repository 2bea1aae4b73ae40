"""Sessions from outside: killed at every moment, failed at every system call, and against a model."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chainrule.errors import ChainruleError, ErrorCode, NotFound, NumericError
from chainrule.ir.tensors import Array
from chainrule_server.service.programs import Programs
from chainrule_server.sessions.bodies import StepBody
from chainrule_server.sessions.types import OpHeader
from chainrule_server.storage.folder import DataFolder
from chainrule_server.workers.coordinator import Coordinator
from chainrule_server.workers.pool import Pool
from support.faulty_disk import FaultyDisk
from support.session_child import STEPS
from support.session_scene import OWNER, Client, Scene, batch, caller, equal, undisturbed
from support.small_model import MOMENTUM, RATE

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


@pytest.mark.faults
def test_the_real_engine_and_pool_step_as_the_reference_does(tmp_path: Path) -> None:
    """And to the same bits with any number of workers, over a restart."""
    states = []
    for workers in (1, 3):
        with Pool(workers) as pool:
            coordinator = Coordinator(pool)
            folder, programs = tmp_path / str(workers), Programs(b"n" * 32)
            scene = Scene(folder, compiler=programs, runner=coordinator)
            client, model = scene.create(), Reference()
            for i in range(6):
                if i == 3:
                    scene.end()
                    scene = Scene(folder, compiler=programs, runner=coordinator)
                    client.registry = scene.registry
                assert client.step(i).finite
                model.step(i)
            state = client.state()
            for name, value in model.state().items():
                np.testing.assert_allclose(state[name], value, rtol=1e-12)
            states.append(state)
            scene.end()
            coordinator.close()
    assert equal(*states)


class Reference:
    """The same model without a session: three arrays and their momentum."""

    def __init__(self) -> None:
        self.w, self.b = np.array([[0.5], [-0.25], [0.125]]), np.array(0.0)
        self.vw, self.vb, self.seen = self.w * 0.0, self.b * 0.0, np.array(0.0)

    def step(self, i: int) -> None:
        x, y = batch(i)
        residual = x @ self.w + self.b - y
        self.vw = MOMENTUM * self.vw + 2 * 1.0 / len(x) * (x.T @ residual)
        self.vb = MOMENTUM * self.vb + 2 * 1.0 / len(x) * np.sum(residual)
        self.w, self.b = self.w - RATE * self.vw, self.b - RATE * self.vb
        self.seen = self.seen + 1.0

    def state(self) -> dict[str, Array]:
        return {
            "buffers/seen": np.asarray(self.seen),
            "params/b": np.asarray(self.b),
            "params/w": self.w,
            "state/b": np.asarray(self.vb),
            "state/w": self.vw,
        }


class SessionsAgainstAModel(RuleBasedStateMachine):
    """Any order of steps, resends, failures, take-overs and ends of the server."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.scene = Scene(Path(self.folder.name) / "data")
        self.client = self.scene.create()
        self.model = Reference()
        self.applied: list[tuple[OpHeader, StepBody]] = []
        self.zombies: list[Client] = []

    def teardown(self) -> None:
        self.scene.end()
        self.folder.cleanup()

    def send(self, call: tuple[OpHeader, StepBody]) -> object:
        return self.scene.registry.apply(caller(), *call)

    def refused(self, call: tuple[OpHeader, StepBody], code: ErrorCode) -> None:
        with pytest.raises(ChainruleError) as info:
            self.send(call)
        assert info.value.code is code

    @rule(i=st.integers(0, 50))
    def step(self, i: int) -> None:
        call = self.client.step_call(i)
        self.client.step(i)
        self.model.step(i)
        self.applied.append(call)

    @rule(i=st.integers(0, 50))
    def fail(self, i: int) -> None:
        self.scene.engine.failure = NumericError("no")
        self.refused(self.client.step_call(i), ErrorCode.NUMERIC_FAILURE)

    @precondition(lambda self: self.applied)
    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        header, body = data.draw(st.sampled_from(self.applied))
        now = OpHeader(
            header.session_id,
            self.client.epoch,
            header.seq,
            header.prev,
            header.request_id,
            header.digest,
        )
        reply = self.scene.registry.apply(caller(), now, body)
        assert reply.replayed
        assert reply.seq == header.seq

    @precondition(lambda self: self.applied)
    @rule(data=st.data())
    def send_another_under_an_old_number(self, data: st.DataObject) -> None:
        header, _ = data.draw(st.sampled_from(self.applied))
        call = self.client.step_call(99, seq=header.seq, prev=header.prev)
        self.refused(call, ErrorCode.STEP_CONFLICT)

    @rule(i=st.integers(0, 50))
    def send_with_another_history(self, i: int) -> None:
        self.refused(self.client.step_call(i, prev=b"x" * 32), ErrorCode.HISTORY_MISMATCH)

    @rule(i=st.integers(0, 50), ahead=st.integers(4, 9))
    def send_too_early(self, i: int, ahead: int) -> None:
        call = self.client.step_call(i, seq=self.client.seq + ahead, prev=b"x" * 32)
        self.refused(call, ErrorCode.STEP_GAP)

    @rule()
    def take_over(self) -> None:
        self.zombies.append(self.client)
        self.client = self.scene.open()
        assert self.client.epoch == self.zombies[-1].epoch + 1

    @precondition(lambda self: self.zombies)
    @rule(i=st.integers(0, 50), data=st.data())
    def a_zombie_steps(self, i: int, data: st.DataObject) -> None:
        zombie = data.draw(st.sampled_from(range(len(self.zombies))))
        self.refused(self.zombies[zombie].step_call(i), ErrorCode.FENCED)

    @rule(drained=st.booleans())
    def end_and_start(self, drained: bool) -> None:
        if drained:
            assert self.scene.registry.drain(0.0) == ()
        self.scene.end()
        self.scene = Scene(Path(self.folder.name) / "data")
        self.client.registry = self.scene.registry

    @invariant()
    def the_state_is_the_models(self) -> None:
        assert equal(self.client.state(), self.model.state())


TestSessionsAgainstAModel = SessionsAgainstAModel.TestCase
TestSessionsAgainstAModel.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, database=None
)
TestSessionsAgainstAModel.pytestmark = [pytest.mark.slow]  # type: ignore[attr-defined]
