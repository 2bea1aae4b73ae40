"""A session over real files: applied once, in order, by whoever holds the newest epoch."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from chainrule import errors
from chainrule.errors import ErrorCode
from chainrule.ir import canonical
from chainrule.ir.operations import step_digest
from chainrule.ir.tensors import tensor_digest
from chainrule_server.sessions.bodies import StepBody
from chainrule_server.sessions.limits import SessionLimits
from chainrule_server.sessions.types import (
    Caller,
    Durability,
    EvaluateSpec,
    NamedTensor,
    NonFinitePolicy,
    NumericsMode,
    ObjectRef,
    OpenSpec,
    OpReply,
    ReceiptMode,
    StateSpec,
)
from support.session_scene import LOSS, Scene, batch, caller, equal, session_id, undisturbed
from support.small_model import loss_graph, predict_graph


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "data")
    yield made
    made.end()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as made:
        yield made


class Gate:
    """Stops the first step inside its run until it is opened."""

    def __init__(self, scene: Scene) -> None:
        self.inside = threading.Event()
        self.opened = threading.Event()
        scene.engine.before_run = self._pass

    def _pass(self) -> None:
        self.inside.set()
        assert self.opened.wait(30)


def refused(call: Callable[[], object], code: ErrorCode) -> errors.ChainruleError:
    with pytest.raises(errors.ChainruleError) as info:
        call()
    assert info.value.code is code, info.value
    return info.value


def test_a_step_updates_parameters_buffers_and_optimizer_state(scene: Scene) -> None:
    client = scene.create()
    reply = client.step(0)
    assert (reply.seq, reply.step, reply.epoch, reply.replayed) == (1, 1, 1, False)
    assert reply.loss is not None and reply.grad_norm is not None and reply.finite
    assert dict(reply.grad_norms).keys() == {"params/w", "params/b"}
    assert [name for name, _ in reply.metrics] == ["metrics/squares"]
    state = client.state()
    np.testing.assert_array_equal(state["params/b"], -0.05 * state["state/b"])
    assert state["buffers/seen"] == 1


def test_a_replay_gets_the_stored_reply_in_every_bit_and_runs_nothing(scene: Scene) -> None:
    client = scene.create()
    header, body = client.step_call(0)
    first = scene.registry.apply(caller(), header, body)
    runs, state = scene.engine.runs, client.state()
    again = scene.registry.apply(caller(), header, body)
    assert again.replayed and not first.replayed
    assert (again.loss, again.grad_norms, again.chain) == (
        first.loss,
        first.grad_norms,
        first.chain,
    )
    assert again.metrics[0][1].tobytes() == first.metrics[0][1].tobytes()
    assert scene.engine.runs == runs
    assert equal(client.state(), state)


def test_another_digest_or_prev_under_an_applied_number_changes_nothing(scene: Scene) -> None:
    client = scene.create()
    old = client.step_call(0)[0]
    client.step(0)
    client.step(1)
    state = client.state()
    header, body = client.step_call(5, seq=1, prev=old.prev)
    refused(lambda: scene.registry.apply(caller(), header, body), ErrorCode.STEP_CONFLICT)
    later, body = client.step_call(2, prev=bytes(32))
    refused(lambda: scene.registry.apply(caller(), later, body), ErrorCode.HISTORY_MISMATCH)
    assert equal(client.state(), state)


def test_the_digest_must_be_that_of_the_body(scene: Scene) -> None:
    client = scene.create()
    header, _ = client.step_call(0)
    _, body = client.step_call(1)
    refused(lambda: scene.registry.apply(caller(), header, body), ErrorCode.BAD_FIELD)


def test_operations_that_arrive_in_any_order_are_applied_in_theirs(
    scene: Scene, pool: ThreadPoolExecutor, tmp_path: Path
) -> None:
    client = scene.create()
    calls = []
    for i in range(4):
        calls.append(client.step_call(i))
        client.move_on(calls[-1][0])
    futures = [pool.submit(scene.registry.apply, caller(), *call) for call in reversed(calls)]
    assert sorted(f.result(30).seq for f in futures) == [1, 2, 3, 4]
    assert equal(client.state(), undisturbed(tmp_path / "other", 4))


def test_a_gap_is_refused_at_its_deadline_and_beyond_the_window_at_once(scene: Scene) -> None:
    client = scene.create()
    header, body = client.step_call(1, seq=3, prev=bytes(32))
    gone = Caller("tenant", 0.0)
    error = refused(lambda: scene.registry.apply(gone, header, body), ErrorCode.STEP_GAP)
    assert error.facts["next_seq"] == 1
    header, body = client.step_call(1, seq=5, prev=bytes(32))
    refused(lambda: scene.registry.apply(caller(), header, body), ErrorCode.STEP_GAP)


def test_what_waits_holds_a_bounded_number_of_bytes(tmp_path: Path) -> None:
    from_limits = Scene(tmp_path / "data", limits=SessionLimits(held_bytes=1))
    client = from_limits.create()
    header, body = client.step_call(1, seq=2, prev=bytes(32))
    refused(lambda: from_limits.registry.apply(caller(), header, body), ErrorCode.STEP_GAP)
    from_limits.end()


def test_successors_of_a_failed_step_fail_with_it(scene: Scene, pool: ThreadPoolExecutor) -> None:
    client = scene.create()
    gate = Gate(scene)
    scene.engine.failure = errors.NumericError("singular", code=ErrorCode.NUMERIC_FAILURE)
    first = client.step_call(0)
    client.move_on(first[0])
    second = client.step_call(1)
    failing = pool.submit(scene.registry.apply, caller(), *first)
    assert gate.inside.wait(30)
    waiting = pool.submit(scene.registry.apply, caller(), *second)
    gate.opened.set()
    refused(lambda: failing.result(30), ErrorCode.NUMERIC_FAILURE)
    error = refused(lambda: waiting.result(30), ErrorCode.PREDECESSOR_FAILED)
    assert error.facts["failed_seq"] == 1
    # Nothing was logged: the same numbers may be used by what mends it.
    assert scene.registry.apply(caller(), *first).seq == 1
    assert scene.registry.apply(caller(), *second).seq == 2


def test_a_resend_during_the_run_waits_and_gets_the_reply(
    scene: Scene, pool: ThreadPoolExecutor
) -> None:
    client = scene.create()
    gate = Gate(scene)
    call = client.step_call(0)
    first = pool.submit(scene.registry.apply, caller(), *call)
    assert gate.inside.wait(30)
    second = pool.submit(scene.registry.apply, caller(), *call)
    gate.opened.set()
    assert {first.result(30).replayed, second.result(30).replayed} == {True, False}
    assert client.state()["buffers/seen"] == 1


def test_an_open_during_a_step_fences_it_at_commit(scene: Scene, pool: ThreadPoolExecutor) -> None:
    client = scene.create()
    before = client.state()
    gate = Gate(scene)
    zombie: Future[OpReply] = pool.submit(scene.registry.apply, caller(), *client.step_call(0))
    assert gate.inside.wait(30)
    taken = scene.open()
    gate.opened.set()
    error = refused(lambda: zombie.result(30), ErrorCode.FENCED)
    assert error.facts["epoch"] == 2
    assert taken.head.next_seq == 1
    assert equal(taken.state(), before)
    assert taken.step(1).epoch == 2
    refused(lambda: client.step(2), ErrorCode.FENCED)


def test_open_is_idempotent_and_compares_the_epoch(scene: Scene) -> None:
    scene.create()
    spec = OpenSpec(session_id("a"), os.urandom(16), expected_epoch=1)
    first = scene.registry.open(caller(), spec)
    assert scene.registry.open(caller(), spec).epoch == first.epoch == 2
    stale = OpenSpec(session_id("a"), os.urandom(16), expected_epoch=1)
    refused(lambda: scene.registry.open(caller(), stale), ErrorCode.FENCED)


def test_open_gives_back_the_cursor_and_proves_the_state(scene: Scene) -> None:
    client = scene.create()
    client.step(0, cursor=b"epoch 3, row 17")
    head = scene.open().head
    assert head.client_cursor == b"epoch 3, row 17"
    assert head.state_digest == scene.open().head.state_digest != client.head.state_digest


def test_a_cursor_above_64_kib_is_refused(scene: Scene) -> None:
    client = scene.create()
    client.step(0, cursor=b"x" * 65536)
    refused(lambda: client.step(1, cursor=b"x" * 65537), ErrorCode.TOO_LARGE)


@pytest.mark.parametrize("policy", tuple(NonFinitePolicy))
def test_a_loss_that_is_not_finite_follows_the_policy(
    scene: Scene, policy: NonFinitePolicy
) -> None:
    client = scene.create(non_finite=policy)
    client.step(0)
    before = client.state()
    x, y = batch(1)
    x[0, 0] = np.inf
    named = (NamedTensor("batch/0", x), NamedTensor("batch/1", y))
    graph = canonical.digest(LOSS)
    digest = step_digest(graph, [(t.name, tensor_digest(t.value)) for t in named])  # type: ignore[arg-type]
    header, _ = client.step_call(1, digest=digest)
    body = StepBody(graph, named)

    def go() -> OpReply:
        return scene.registry.apply(caller(), header, body)

    if policy is NonFinitePolicy.ERROR:
        refused(go, ErrorCode.NON_FINITE)
        assert client.step(1).seq == 2
        return
    reply = go()
    client.move_on(header)
    assert not reply.finite
    assert reply.step == (2 if policy is NonFinitePolicy.APPLY else 1)
    assert equal(client.state(), before) == (policy is NonFinitePolicy.SKIP)
    assert client.step(2).seq == 3


def test_evaluate_and_predict_change_nothing(scene: Scene) -> None:
    client = scene.create()
    client.step(0)
    state = client.state()
    x, y = batch(7)
    named = (NamedTensor("batch/0", x), NamedTensor("batch/1", y))
    reply = scene.registry.evaluate(caller(), EvaluateSpec(session_id("a"), batch=named))
    assert (reply.seq, reply.step, reply.finite) == (1, 1, True)
    spec = EvaluateSpec(session_id("a"), predict_graph(), batch=named[:1])
    out = dict(scene.registry.evaluate(caller(), spec).outputs)["out"]
    np.testing.assert_allclose(out, x @ state["params/w"] + state["params/b"])
    np.testing.assert_allclose(np.mean((out - y) ** 2), dict(reply.outputs)["loss"])
    assert equal(client.state(), state)


def test_an_open_does_not_stop_a_reader(scene: Scene, pool: ThreadPoolExecutor) -> None:
    scene.create()
    gate = Gate(scene)
    x, y = batch(0)
    named = (NamedTensor("batch/0", x), NamedTensor("batch/1", y))
    spec = EvaluateSpec(session_id("a"), batch=named)
    reading = pool.submit(scene.registry.evaluate, caller(), spec)
    assert gate.inside.wait(30)
    scene.open()
    gate.opened.set()
    assert reading.result(30).finite


def test_reading_after_an_operation_waits_for_it(scene: Scene, pool: ThreadPoolExecutor) -> None:
    client = scene.create()
    gate = Gate(scene)
    stepping = pool.submit(scene.registry.apply, caller(), *client.step_call(0))
    assert gate.inside.wait(30)
    spec = StateSpec(session_id("a"), ("buffers",), after_seq=1)
    reading = pool.submit(scene.registry.get_state, caller(), spec)
    gate.opened.set()
    reply = reading.result(30)
    assert [(n, float(a)) for n, a in reply.tensors] == [("buffers/seen", 1.0)]
    assert stepping.result(30).seq == 1


def test_a_caller_who_goes_away_ends_its_wait_and_its_run(
    scene: Scene, pool: ThreadPoolExecutor
) -> None:
    client = scene.create()
    gate = Gate(scene)
    going = caller()
    running = pool.submit(scene.registry.apply, going, *client.step_call(0))
    assert gate.inside.wait(30)
    waiter = caller()
    waiting = pool.submit(scene.registry.apply, waiter, *client.step_call(0))
    waiter.cancel.set()
    refused(lambda: waiting.result(30), ErrorCode.CANCELLED)
    going.cancel.set()
    gate.opened.set()
    refused(lambda: running.result(30), ErrorCode.CANCELLED)
    assert client.step(0).seq == 1


def test_a_graph_new_to_the_session_is_taken_from_what_the_tenant_registered(scene: Scene) -> None:
    client = scene.create()
    graph = loss_graph(2.0)
    digest = canonical.digest(graph)
    error = refused(lambda: client.step(0, graph=digest), ErrorCode.OBJECT_MISSING)
    assert error.facts["missing"] == (digest,)
    scene.registered[digest] = graph
    client.step(0, graph=digest)
    scene.registered.clear()
    assert digest in scene.open().head.graph_digests


def test_batches_may_lie_in_the_object_store(scene: Scene, tmp_path: Path) -> None:
    client = scene.create()
    header, body = client.step_call(0)
    digests = {t.name: scene.objects.add("tenant", t.value) for t in body.batch}  # type: ignore[arg-type]
    stored = StepBody(
        body.graph_digest,
        tuple(NamedTensor(t.name, ObjectRef(digests[t.name])) for t in body.batch),
    )
    scene.registry.apply(caller(), header, stored)
    assert equal(client.state(), undisturbed(tmp_path / "other", 1))
    # The same operation, whether its tensors came inline or by digest.
    assert scene.registry.apply(caller(), header, body).replayed


def test_receipts_name_the_chain_and_the_leaves(scene: Scene) -> None:
    client = scene.create()
    header, body = client.step_call(0, receipts=ReceiptMode.FULL)
    receipts = {r.name: r.digest for r in scene.registry.apply(caller(), header, body).receipts}
    client.move_on(header)
    state = client.state()
    assert receipts.pop("chain") == client.chain
    assert receipts == {name: tensor_digest(array) for name, array in state.items()}


def test_close_is_the_last_operation_and_is_answered_again(scene: Scene) -> None:
    client = scene.create()
    client.step(0)
    call = client.close_call()
    closed = scene.registry.apply(caller(), *call)
    assert scene.registry.apply(caller(), *call).replayed
    assert closed.seq == 2
    refused(lambda: client.step(1), ErrorCode.NOT_FOUND)
    refused(lambda: scene.open(), ErrorCode.NOT_FOUND)
    refused(lambda: scene.create(), ErrorCode.SESSION_CLOSED)
    other = client.close_call()[0]
    refused(lambda: scene.registry.apply(caller("other"), other, call[1]), ErrorCode.NOT_FOUND)


def test_pinned_numerics_refuse_another_build(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    refused(
        lambda: scene.create(numerics=NumericsMode.PINNED, numerics_id=b"x" * 32),
        ErrorCode.NUMERICS_CHANGED,
    )
    scene.create(numerics=NumericsMode.PINNED, numerics_id=scene.engine.numerics_id).step(0)
    scene.create("native").step(0)
    scene.end()
    again = Scene(tmp_path / "data")
    again.engine.numerics_id = b"another" + bytes(25)
    pinned = again.open()
    refused(lambda: pinned.step(1), ErrorCode.NUMERICS_CHANGED)
    native = again.open("native")
    assert [n.kind for n in native.head.notices] == ["NUMERICS_CHANGED"]
    assert native.step(1).seq == 2
    again.end()


def test_memory_durability_keeps_nothing_on_disk_and_ends_with_the_server(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    client = scene.create(durability=Durability.MEMORY)
    reply = client.step(0)
    assert reply.durability_reached is Durability.MEMORY
    assert equal(client.state(), undisturbed(tmp_path / "other", 1))
    scene.end()
    again = Scene(tmp_path / "data")
    refused(lambda: again.open(), ErrorCode.NOT_FOUND)
    again.end()
