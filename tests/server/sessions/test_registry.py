"""All sessions together: made once, found again, counted, listed, drained."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from chainrule import errors
from chainrule.errors import ErrorCode
from chainrule_server.sessions.limits import SessionLimits
from chainrule_server.sessions.types import (
    Durability,
    NamedTensor,
    NumericsMode,
    ObjectRef,
    OpenSpec,
    OptimizerGraphs,
)
from support.session_scene import Scene, caller, create_spec, equal, session_id
from support.small_model import init_graph, predict_graph, update_graph


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "data", limits=SessionLimits(sessions_per_tenant=5, open_sessions=2))
    yield made
    made.end()


def refused(call: Callable[[], object], code: ErrorCode) -> errors.ChainruleError:
    with pytest.raises(errors.ChainruleError) as info:
        call()
    assert info.value.code is code, info.value
    return info.value


def test_create_again_gives_the_same_session(scene: Scene) -> None:
    spec = create_spec()
    first = scene.registry.create(caller(), spec)
    again = scene.registry.create(caller(), spec)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.head == first.head
    other = replace(spec, request_id=b"x" * 16)
    refused(lambda: scene.registry.create(caller(), other), ErrorCode.NAME_TAKEN)
    refused(lambda: scene.registry.create(caller(), replace(spec, seed=1)), ErrorCode.NAME_TAKEN)


def test_creates_at_once_make_one_session(scene: Scene) -> None:
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: scene.registry.create(caller(), create_spec()), range(8)))
    assert sum(not reply.replayed for reply in replies) == 1
    assert len(scene.registry.list(caller())) == 1


def test_names_are_of_one_session_and_free_after_close(scene: Scene) -> None:
    client = scene.create("a", name="digits/first")
    refused(lambda: scene.create("b", name="digits/first"), ErrorCode.NAME_TAKEN)
    head = scene.registry.open(caller(), OpenSpec(b"", b"o" * 16, name="digits/first"))
    assert head.session_id == session_id("a")
    client.epoch = head.epoch
    client.close()
    scene.create("b", name="digits/first")
    refused(lambda: scene.create("c", name="../up\0"), ErrorCode.BAD_NAME)


def test_another_tenant_sees_nothing(scene: Scene) -> None:
    client = scene.create()
    header, body = client.step_call(0)
    stranger = caller("stranger")
    texts = {
        str(refused(call, ErrorCode.NOT_FOUND))
        for call in (
            lambda: scene.registry.apply(stranger, header, body),
            lambda: scene.registry.open(stranger, OpenSpec(session_id("a"), b"o" * 16)),
            lambda: scene.registry.open(caller(), OpenSpec(b"guess" + bytes(11), b"o" * 16)),
        )
    }
    assert len(texts) == 1
    assert scene.registry.list(stranger) == ()
    # The same id may be another tenant's own.
    assert scene.registry.create(stranger, create_spec()).replayed is False


def test_a_tenant_has_a_bounded_number_of_sessions(scene: Scene) -> None:
    clients = [scene.create(str(i)) for i in range(5)]
    error = refused(lambda: scene.create("one more"), ErrorCode.QUOTA)
    assert error.facts["limit"] == 5
    clients[0].close()
    scene.create("one more")
    scene.create("other tenant", tenant="other")


def test_more_sessions_than_open_files_go_on_all_the_same(scene: Scene, tmp_path: Path) -> None:
    clients = [scene.create(str(i)) for i in range(5)]
    for i in range(4):
        for client in clients:
            assert client.step(i).seq == i + 1
    states = [client.state() for client in clients]
    assert all(equal(state, states[0]) for state in states)
    assert len(scene.engine.forgotten) >= 15


def test_sessions_in_memory_stay_open_beyond_the_bound(scene: Scene) -> None:
    clients = [scene.create(str(i), durability=Durability.MEMORY) for i in range(4)]
    for client in clients:
        assert client.step(0).step == 1


def test_a_list_says_where_each_session_stands(scene: Scene) -> None:
    for i in range(4):
        client = scene.create(str(i), name=f"n{i}")
        for k in range(i):
            client.step(k)
    heads = scene.registry.list(caller())
    assert [(h.name, h.next_seq, h.step) for h in heads] == [(f"n{i}", i + 1, i) for i in range(4)]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"session_id": b"short"}, ErrorCode.BAD_FIELD),
        ({"request_id": b""}, ErrorCode.BAD_FIELD),
        ({"numerics": NumericsMode.PORTABLE}, ErrorCode.UNSUPPORTED),
        ({"params": (NamedTensor("w", np.zeros(1)),)}, ErrorCode.BAD_NAME),
        ({"params": ()}, ErrorCode.INCOMPATIBLE),
        ({"buffers": ()}, ErrorCode.INCOMPATIBLE),
        ({"frozen": ("params/nothing",)}, ErrorCode.INCOMPATIBLE),
        ({"frozen": ("params/w",)}, ErrorCode.INCOMPATIBLE),
        ({"graphs": (predict_graph(),)}, ErrorCode.BAD_LOSS),
        (
            {"optimizer": OptimizerGraphs(update_graph(), update_graph())},
            ErrorCode.INCOMPATIBLE,
        ),
        ({"optimizer": OptimizerGraphs(init_graph(), init_graph())}, ErrorCode.INCOMPATIBLE),
        (
            {"buffers": (NamedTensor("buffers/seen", ObjectRef(bytes(32))),)},
            ErrorCode.OBJECT_MISSING,
        ),
        ({"buffers": 2 * (NamedTensor("buffers/seen", np.zeros(())),)}, ErrorCode.DUPLICATE_NAME),
    ],
)
def test_a_create_that_is_refused_leaves_nothing(
    scene: Scene, tmp_path: Path, changes: dict[str, object], code: ErrorCode
) -> None:
    refused(lambda: scene.create(**changes), code)  # type: ignore[arg-type]
    assert list((tmp_path / "data").glob("sessions/*/*")) == []
    scene.create()


def test_a_state_above_the_limit_is_refused(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data", limits=SessionLimits(state_bytes=71))
    error = refused(lambda: scene.create(), ErrorCode.TOO_LARGE)
    assert (error.facts["limit"], error.facts["value"]) == (71, 72)
    scene.end()


def test_a_restart_fences_nobody_and_reads_nothing_before_it_is_asked(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    clients = [scene.create(str(i)) for i in range(20)]
    for client in clients:
        client.step(0)
    scene.end()
    again = Scene(tmp_path / "data")
    for client in clients:
        client.registry = again.registry
        reply = client.step(1)
        assert (reply.seq, reply.epoch) == (2, 1)
    again.end()


def test_leftovers_of_an_unfinished_create_are_swept(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    scene.create()
    (folder,) = (tmp_path / "data").glob("sessions/*")
    scene.end()
    (folder / ".new-1234" / "graphs").mkdir(parents=True)
    (folder / "something else").mkdir()
    again = Scene(tmp_path / "data")
    assert len(again.registry.list(caller())) == 1
    assert {p.name for p in folder.iterdir()} == {session_id("a").hex(), "something else"}
    again.end()


def test_a_drain_lets_the_running_step_end_and_refuses_the_next(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    client = scene.create()
    inside, opened = threading.Event(), threading.Event()

    def wait() -> None:
        inside.set()
        assert opened.wait(30)

    scene.engine.before_run = wait
    with ThreadPoolExecutor(2) as pool:
        header, body = client.step_call(0)
        running = pool.submit(scene.registry.apply, caller(), header, body)
        assert inside.wait(30)
        draining = pool.submit(scene.registry.drain, caller().deadline)
        opened.set()
        assert running.result(30).seq == 1
        assert draining.result(30) == ()
    client.move_on(header)
    refused(lambda: client.step(1), ErrorCode.DRAINING)
    refused(lambda: scene.create("b"), ErrorCode.DRAINING)
    # What was applied is still answered.
    assert scene.registry.apply(caller(), header, body).replayed
    scene.end()
    again = Scene(tmp_path / "data")
    assert again.open().step(1).durable_seq == 1
    again.end()


def test_a_step_that_outlives_the_grace_is_stopped_and_not_applied(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    client = scene.create()
    before = client.state()
    inside = threading.Event()

    def until_stopped() -> None:
        inside.set()
        stopped = threading.Event()
        assert scene.engine.cancel is not None
        scene.engine.cancel.subscribe(stopped.set)
        assert stopped.wait(30)

    scene.engine.before_run = until_stopped
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(scene.registry.apply, caller(), *client.step_call(0))
        assert inside.wait(30)
        assert scene.registry.drain(0.0) == ()
        refused(lambda: running.result(30), ErrorCode.CANCELLED)
    scene.end()
    again = Scene(tmp_path / "data")
    assert equal(again.open().state(), before)
    again.end()
