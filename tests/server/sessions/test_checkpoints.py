"""Save and Restore: whole states under names, found again to the bit or not at all."""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule_server.sessions.limits import SessionLimits
from chainrule_server.sessions.types import Durability, NamedTensor
from support.faulty_disk import FaultyDisk
from support.session_scene import DURABILITIES, Client, Scene, caller, equal
from support.small_model import SmallEngine


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "data")
    yield made
    made.end()


def refused(call: Callable[[], object], code: ErrorCode) -> ChainruleError:
    with pytest.raises(ChainruleError) as info:
        call()
    assert info.value.code is code, info.value
    return info.value


def trained(scene: Scene, n: int = 3, word: str = "a", **changes: Any) -> Client:
    client = scene.create(word, **changes)
    for i in range(n):
        client.step(i, cursor=b"at %d" % i)
    return client


def tensors_file(scene: Scene) -> Path:
    (path,) = scene.folder.path.glob("checkpoints/*/*/state.safetensors")
    return path


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_restored_session_goes_on_as_it_did_then(scene: Scene, durability: Durability) -> None:
    client = trained(scene, durability=durability)
    saved = client.save("best")
    state = client.state()
    ahead = [client.step(i).loss for i in range(3, 6)]
    after = client.state()
    reply = client.restore(saved)
    assert (reply.seq, reply.step) == (8, 3)
    assert equal(client.state(), state)
    assert [client.step(i).loss for i in range(3, 6)] == ahead
    assert equal(client.state(), after)
    assert client.seq == 12


def test_a_checkpoint_survives_the_end_of_the_server_and_of_its_session(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    client, other = trained(scene), trained(scene, 1, "b")
    saved, state = client.save("best", cursor=b"row 3"), client.state()
    client.close()
    scene.end()
    scene = Scene(tmp_path / "data")
    other.registry = scene.registry
    (found,) = scene.registry.checkpoints(caller())
    assert (found.name, found.digest, found.step, found.seq) == ("best", saved, 3, 3)
    assert (found.cursor, found.session_id) == (b"row 3", client.head.session_id)
    assert other.restore(saved).step == 3
    assert equal(other.state(), state)
    scene.end()


def test_a_name_means_one_content(scene: Scene) -> None:
    client = trained(scene)
    first = client.save("best", cursor=b"c")
    assert client.save("best", cursor=b"c") == first
    client.step(3)
    error = refused(lambda: client.save("best"), ErrorCode.NAME_TAKEN)
    assert "step 3" in str(error)
    assert client.save("better") != first
    for name in ("", "no space", "x" * 129):
        refused(lambda n=name: client.save(n), ErrorCode.BAD_NAME)  # type: ignore[misc]
    assert [c.name for c in scene.registry.checkpoints(caller())] == ["best", "better"]
    assert scene.registry.checkpoints(caller("another")) == ()


def test_a_replayed_save_and_restore_answer_as_before(scene: Scene) -> None:
    client = trained(scene)
    at = client.seq, client.chain
    saved = client.save("best")
    client.seq, client.chain = at
    assert client.save("best") == saved
    client.step(3)
    at = client.seq, client.chain
    client.restore(saved)
    state = client.state()
    client.step(7)
    (client.seq, client.chain), now = at, (client.seq, client.chain)
    assert client.restore(saved).replayed
    client.seq, client.chain = now
    assert not equal(client.state(), state)


def test_accumulated_gradients_are_part_of_a_checkpoint(scene: Scene) -> None:
    client, fresh = trained(scene), trained(scene, 0, "fresh")
    client.forward_backward(3), client.forward_backward(4)
    saved = client.save("half")
    client.optim_step()
    after = client.state()
    for one in (client, fresh):
        one.restore(saved)
        assert "grads/w" in one.state()
        assert one.optim_step().step == 4
        assert equal(one.state(), after)


def test_what_does_not_fit_is_told_leaf_by_leaf(scene: Scene) -> None:
    saved = trained(scene).save("best")
    other = scene.create("b", buffers=(NamedTensor("buffers/other", np.zeros(3)),), graphs=())
    error = refused(lambda: other.restore(saved), ErrorCode.INCOMPATIBLE)
    assert "buffers/other: nothing in the checkpoint, float64[3] here" in str(error)
    assert "buffers/seen" in str(error)
    refused(lambda: other.restore(b"x" * 32), ErrorCode.NOT_FOUND)


def test_other_numerics_are_refused_unless_they_are_allowed(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    client = trained(scene)
    saved = client.save("best")
    scene.end()
    engine = SmallEngine()
    engine.numerics_id = b"other" + bytes(27)
    scene = Scene(tmp_path / "data", compiler=engine, runner=engine)
    client.registry = scene.registry
    refused(lambda: client.restore(saved), ErrorCode.NUMERICS_CHANGED)
    assert client.restore(saved, allow_drift=True).step == 3
    scene.end()


def test_a_flipped_bit_is_found_and_its_tensor_named_and_nothing_is_loaded(scene: Scene) -> None:
    client = trained(scene)
    saved = client.save("best")
    client.step(3)
    state = client.state()
    path = tensors_file(scene)
    whole = path.read_bytes()
    for at in range(len(whole) - 1, 0, -29):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :])
        error = refused(lambda: client.restore(saved), ErrorCode.CORRUPT_CHECKPOINT)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 4]))
    error = refused(lambda: client.restore(saved), ErrorCode.CORRUPT_CHECKPOINT)
    assert error.field == "state/w"
    path.write_bytes(whole[:-1])
    refused(lambda: client.restore(saved), ErrorCode.CORRUPT_CHECKPOINT)
    assert equal(client.state(), state)
    path.write_bytes(whole)
    assert client.restore(saved).step == 3


def test_no_flipped_bit_of_a_manifest_is_taken(scene: Scene) -> None:
    client = trained(scene)
    saved = client.save("best")
    path = tensors_file(scene).with_name("manifest")
    whole = path.read_bytes()
    before = client.state()
    for bit in range(0, 8 * len(whole), 61):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(data))
        try:
            client.restore(saved)
        except ChainruleError as error:
            assert error.code is ErrorCode.CORRUPT_CHECKPOINT, (bit, error)
        assert equal(client.state(), before)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EMFILE])
def test_a_save_fails_whole_at_any_system_call_and_succeeds_when_sent_again(
    code: int, tmp_path: Path
) -> None:
    disk = FaultyDisk(code, short=True)
    scene = Scene(tmp_path / "data", disk=disk)
    client = trained(scene)
    first, state = client.save("first"), client.state()
    k, failed = 0, True
    while failed:
        k += 1
        client.step(k + 3)
        ahead = client.state()
        disk.arm(k)
        try:
            client.save(f"at-{k}")
        except ChainruleError as error:
            assert error.code in (
                ErrorCode.STORAGE_FULL,
                ErrorCode.UNAVAILABLE,
                ErrorCode.OVERLOADED,
            )
        failed = disk.failed is not None
        disk.arm(0)
        client.save(f"at-{k}")
        assert equal(client.state(), ahead)
    assert k > 15
    assert not list(scene.folder.path.glob("checkpoints/*/.new-*"))
    client.restore(first)
    assert equal(client.state(), state)
    scene.end()


def test_a_tenant_has_so_many_bytes_of_checkpoints(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data", limits=SessionLimits(checkpoint_bytes=150))
    client = trained(scene)
    client.save("one"), client.save("same")
    client.step(3)
    refused(lambda: client.save("two"), ErrorCode.QUOTA)
    assert client.step(4).step == 5
    scene.end()
