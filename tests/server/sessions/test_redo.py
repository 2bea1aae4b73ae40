"""Durability disk: after loss of power every acknowledged operation is there again, to the bit."""

import errno
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.tensors import Array
from chainrule_server.sessions import keeping
from chainrule_server.sessions.bodies import StepBody
from chainrule_server.sessions.types import Durability, NamedTensor, ObjectRef, ReceiptMode
from support.faulty_disk import FaultyDisk
from support.session_scene import LOSS_DIGEST, Client, Scene, batch, caller, equal
from support.small_model import SmallEngine

BOOTS = tuple(bytes([k]) * 16 for k in range(1, 9))


def folder_of(data: Path) -> Path:
    (log,) = data.glob("sessions/*/*/log")
    return log.parent


def begun(data: Path, boot: int = 0, **fields: object) -> tuple[Scene, Client]:
    scene = Scene(data, boot_id=BOOTS[boot], **fields)  # type: ignore[arg-type]
    return scene, scene.create(durability=Durability.DISK)


def lived(client: Client) -> dict[str, Array]:
    """Every operation there is; gives the state after it."""
    for i in range(3):
        client.step(i)
    saved = client.save("after-three")
    client.forward_backward(3), client.forward_backward(4), client.optim_step()
    client.set_state(params__b=np.array(0.25))
    client.step(5)
    client.restore(saved)
    client.step(6)
    client.forward_backward(7)
    return client.state()


def lose_power(scene: Scene, boot: int, **fields: object) -> Scene:
    """The kernel goes, and with it whatever of the state wasn't synced: here all of it."""
    scene.end()
    path = folder_of(scene.folder.path)
    (path / "state").write_bytes(bytes((path / "state").stat().st_size))
    return Scene(scene.folder.path, boot_id=BOOTS[boot], **fields)  # type: ignore[arg-type]


def refused(call: Callable[[], object], code: ErrorCode) -> ChainruleError:
    with pytest.raises(ChainruleError) as info:
        call()
    assert info.value.code is code, info.value
    return info.value


def test_everything_is_done_again_after_loss_of_power(tmp_path: Path) -> None:
    scene, client = begun(tmp_path / "data")
    state = lived(client)
    for boot in (1, 2):
        scene = lose_power(scene, boot)
        client.registry = scene.registry
        assert equal(client.state(), state)
    client.optim_step()
    assert scene.open().seq == client.seq
    scene.end()


def test_what_is_acknowledged_is_said_to_be_durable(tmp_path: Path) -> None:
    scene, client = begun(tmp_path / "data")
    assert client.step(0).durable_seq == 1
    with ThreadPoolExecutor(4) as pool:
        calls = []
        for i in range(1, 9):
            header, body = client.step_call(i)
            client.move_on(header)
            calls.append((header, body))
        replies = list(pool.map(lambda c: scene.registry.apply(caller(), *c), calls[:4]))
        replies += pool.map(lambda c: scene.registry.apply(caller(), *c), calls[4:])
    assert all(r.durable_seq >= r.seq for r in replies)
    scene.end()


def test_a_redo_starts_at_the_newest_snapshot_and_old_batches_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "_BATCH_BYTES", 700)
    scene, client = begun(tmp_path / "data")
    for i in range(20):
        client.step(i)
    state, path = client.state(), folder_of(tmp_path / "data")
    snapshots = sorted(int(p.name) for p in (path / "snapshots").iterdir())
    assert len(snapshots) == 2
    assert {int(p.name.split("-")[1]) for p in path.glob("batches-*")} <= set(snapshots)
    engine = SmallEngine()
    scene = lose_power(scene, 1, compiler=engine, runner=engine)
    client.registry = scene.registry
    assert equal(client.state(), state)
    assert engine.runs == 20 - snapshots[1]
    newest = path / "snapshots" / f"{snapshots[1]:020d}" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    scene = lose_power(scene, 2)
    client.registry = scene.registry
    assert equal(client.state(), state)
    scene.end()


def test_a_batch_from_the_store_is_kept_too(tmp_path: Path) -> None:
    scene, client = begun(tmp_path / "data")
    refs = []
    for name, array in zip(("batch/0", "batch/1"), batch(0), strict=True):
        refs.append(NamedTensor(name, ObjectRef(scene.objects.add("tenant", array))))
    client.send(StepBody(LOSS_DIGEST, tuple(refs)))
    state = client.state()
    for path in (tmp_path / "data").glob("objects/*/*"):
        path.unlink()
    scene = lose_power(scene, 1)
    client.registry = scene.registry
    assert equal(client.state(), state)
    scene.end()


def test_a_redo_confirms_every_full_receipt(tmp_path: Path) -> None:
    """An engine whose loss and norms are right and whose update isn't is caught by the leaves."""
    scene, client = begun(tmp_path / "data")
    body = client.step_call(0)[1]
    client.send(body, receipts=ReceiptMode.FULL)
    state = client.state()

    class Wrong(SmallEngine):
        def _write(self, program: Any, state: Any, new: Mapping[str, Array]) -> None:
            super()._write(program, state, {k: v + (k == "state/w") for k, v in new.items()})

    engine = Wrong()
    scene = lose_power(scene, 1, compiler=engine, runner=engine)
    client.registry = scene.registry
    error = refused(client.state, ErrorCode.CORRUPT_CHECKPOINT)
    assert error.field == "state/w"
    scene.end()
    scene = Scene(tmp_path / "data", boot_id=BOOTS[2])
    client.registry = scene.registry
    assert equal(client.state(), state)
    scene.end()


def test_other_numerics_do_nothing_again(tmp_path: Path) -> None:
    scene, client = begun(tmp_path / "data")
    client.step(0)
    engine = SmallEngine()
    engine.numerics_id = b"other" + bytes(27)
    scene = lose_power(scene, 1, compiler=engine, runner=engine)
    client.registry = scene.registry
    refused(client.state, ErrorCode.NUMERICS_CHANGED)
    scene.end()
    scene = Scene(tmp_path / "data", boot_id=BOOTS[2])
    client.registry = scene.registry
    assert client.state()["buffers/seen"] == 1
    scene.end()


@pytest.mark.parametrize("stride", [pytest.param(61, marks=pytest.mark.slow), 1999])
def test_no_flipped_bit_is_taken_for_history_and_none_loses_what_was_acknowledged(
    stride: int, tmp_path: Path
) -> None:
    """But one in the last record, which nothing tells from a record that was being written."""
    scene, client = begun(tmp_path / "data")
    for i in range(5):
        client.step(i)
    state, before = client.state(), client.seq
    scene.end()
    path = folder_of(tmp_path / "data")
    files = {p: p.read_bytes() for p in (path / "log", path / "batches-0")}
    answers = set()
    for name, whole in files.items():
        for bit in range(0, 8 * len(whole), stride):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            name.write_bytes(bytes(data))
            scene = Scene(tmp_path / "data", boot_id=BOOTS[1])
            try:
                found = scene.open()
                assert (found.seq, equal(found.state(), state)) in (
                    (before, True),
                    (before - 1, False),
                )
                answers.add("served")
            except ChainruleError as error:
                assert error.code is ErrorCode.CORRUPT_CHECKPOINT, error
                answers.add("refused")
            scene.end()
            name.write_bytes(whole)
    assert "refused" in answers


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_disk_survives_a_failure_of_any_system_call(code: int, tmp_path: Path) -> None:
    codes = (ErrorCode.STORAGE_FULL, ErrorCode.UNAVAILABLE)
    k, failed = 0, True
    while failed:
        k += 1
        disk = FaultyDisk(code, short=True)
        scene, client = begun(tmp_path / str(k), disk=disk)
        disk.arm(k)
        for i in range(3):
            header, body = client.step_call(i)
            for _ in range(3):
                try:
                    scene.registry.apply(caller(), header, body)
                    break
                except ChainruleError as error:
                    assert error.code in codes, error
            client.move_on(header)
        failed = disk.failed is not None
        disk.arm(0)
        state = client.state()
        assert state["buffers/seen"] == 3
        scene = lose_power(scene, 1)
        client.registry = scene.registry
        assert equal(client.state(), state), (k, disk.failed)
        scene.end()
    assert k > 10
