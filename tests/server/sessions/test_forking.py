"""Forks share their parent's bytes until one of them writes, and no bit passes between them."""

import errno
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule_server.sessions.types import Durability
from support.faulty_disk import FaultyDisk
from support.session_scene import DURABILITIES, Client, Scene, caller, equal, undisturbed


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "data")
    yield made
    made.end()


def trained(scene: Scene, n: int = 3, durability: Durability = Durability.PROCESS) -> Client:
    client = scene.create(durability=durability)
    for i in range(n):
        client.step(i, cursor=b"at %d" % i)
    return client


def folder(scene: Scene, client: Client) -> Path:
    (found,) = scene.folder.path.glob(f"sessions/*/{client.head.session_id.hex()}")
    return found


@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_fork_begins_where_its_parent_stands_and_goes_its_own_way(
    scene: Scene, durability: Durability, tmp_path: Path
) -> None:
    parent = trained(scene, durability=durability)
    state = parent.state()
    child = scene.fork(parent, "child")
    head = child.head
    assert (head.next_seq, head.step, head.epoch, head.client_cursor) == (1, 3, 1, b"at 2")
    assert equal(child.state(), state)
    child.step(7), child.step(8)
    after = child.state()
    assert equal(parent.state(), state)
    for i in range(3, 6):
        parent.step(i)
    assert equal(child.state(), after)
    assert equal(parent.state(), undisturbed(tmp_path / "truth", 6))


def test_a_fork_takes_no_bytes_until_somebody_writes(scene: Scene) -> None:
    parent = trained(scene)
    child, other = scene.fork(parent, "child"), scene.fork(parent, "other")
    shared = folder(scene, parent) / "state"
    assert shared.stat().st_nlink == 3
    assert not (folder(scene, child) / "state").exists()
    child.state(), child.registry.open  # reading moves nothing
    child.step(1)
    assert (folder(scene, child) / "state").stat().st_nlink == 1
    assert shared.stat().st_nlink == 2
    inode = shared.stat().st_ino
    other.close()
    parent.step(3)
    assert shared.stat().st_ino == inode, "nobody else lived on it, so nothing was copied"


@pytest.mark.parametrize("order", list(permutations(("parent", "child", "grandchild"))))
def test_whoever_writes_first_in_a_family_changes_nobody_else(
    order: tuple[str, ...], tmp_path: Path
) -> None:
    scene = Scene(tmp_path / "data")
    parent = trained(scene)
    child = scene.fork(parent, "child")
    family = {"parent": parent, "child": child, "grandchild": scene.fork(child, "grandchild")}
    expected = dict.fromkeys(family, parent.state())
    for k, who in enumerate((*order, *order)):
        family[who].step(10 + k)
        expected[who] = family[who].state()
        scene.end()
        scene = Scene(tmp_path / "data")
        for name, client in family.items():
            client.registry = scene.registry
            assert equal(client.state(), expected[name]), (name, order[:k])
    scene.end()


def test_a_fork_that_has_not_written_survives_restarts_drains_and_takeovers(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    parent = trained(scene)
    state = parent.state()
    scene.fork(parent, "child", name="by-name")
    parent.step(3)
    for k in range(3):
        assert scene.registry.drain(0.0) == ()
        scene.end()
        scene = Scene(tmp_path / "data")
        child = scene.open("child")
        assert (child.epoch, child.seq) == (k + 2, 1)
        assert equal(child.state(), state)
    (listed,) = [h for h in scene.registry.list(caller()) if h.name == "by-name"]
    assert listed.step == 3
    assert child.step(3).step == 4
    parent.registry = scene.registry
    assert equal(child.state(), parent.state())
    scene.end()


def test_the_same_fork_again_has_the_same_answer_and_another_is_refused(scene: Scene) -> None:
    parent = trained(scene)
    first = scene.fork(parent, "child").head
    parent.step(3)
    again = scene.fork(parent, "child").head
    assert (again.chain, again.step) == (first.chain, 3)
    with pytest.raises(ChainruleError) as info:
        scene.fork(scene.create("b"), "child")
    assert info.value.code is ErrorCode.NAME_TAKEN
    with pytest.raises(ChainruleError) as info:
        scene.fork(parent, "late", at_seq=2)
    assert info.value.code is ErrorCode.NOT_FOUND
    assert "stands at 4" in str(info.value)


def test_time_travel_to_a_checkpoint_of_the_session(scene: Scene) -> None:
    parent = trained(scene)
    state = parent.state()
    parent.save("then")
    ahead = [parent.step(i).loss for i in range(3, 6)]
    child = scene.fork(parent, "child", at_seq=3)
    assert child.head.step == 3
    assert equal(child.state(), state)
    assert [child.step(i).loss for i in range(3, 6)] == ahead
    assert equal(child.state(), parent.state())


def test_accumulated_gradients_go_to_the_child_too(scene: Scene) -> None:
    parent = trained(scene)
    parent.forward_backward(3)
    child = scene.fork(parent, "child")
    parent.forward_backward(4), parent.optim_step()
    child.forward_backward(4), child.optim_step()
    assert equal(child.state(), parent.state())


@pytest.mark.slow
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_fork_fails_whole_at_any_system_call(code: int, tmp_path: Path) -> None:
    k, failed = 0, True
    while failed:
        k += 1
        disk = FaultyDisk(code, short=True)
        scene = Scene(tmp_path / str(k), disk=disk)
        parent = trained(scene)
        state = parent.state()
        disk.arm(k)
        for _ in range(2):
            try:
                child = scene.fork(parent, "child")
                if child.seq == 1:
                    child.step(5)
            except ChainruleError as error:
                assert error.code in (ErrorCode.STORAGE_FULL, ErrorCode.UNAVAILABLE), error
        failed = disk.failed is not None
        disk.arm(0)
        assert equal(parent.state(), state)
        child = scene.open("child")
        if child.seq == 1:
            child.step(5)
        parent.step(5)
        assert equal(child.state(), parent.state())
        scene.end()
    assert k > 20


def test_the_log_is_read_page_by_page(scene: Scene) -> None:
    client = trained(scene)
    client.forward_backward(3), client.optim_step(), client.save("x")
    found, first, following = scene.registry.log(caller(), client.head.session_id, 0, 100)
    assert [r.seq for r in found] == [1, 2, 3, 4, 5, 6]
    names = [r.method.name for r in found]
    assert names == ["STEP", "STEP", "STEP", "FORWARD_BACKWARD", "OPTIM_STEP", "SAVE"]
    assert (first, following) == (1, 7)
    found, first, _ = scene.registry.log(caller(), client.head.session_id, 3, 2)
    assert ([r.seq for r in found], first) == ([3, 4], 1)
    assert np.all([r.cursor for r in found[:1]])
