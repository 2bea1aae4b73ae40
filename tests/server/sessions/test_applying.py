"""Operations beside Step: gradients that accumulate, and leaves that are set."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode, NumericError
from chainrule_server.service.programs import Programs
from chainrule_server.sessions.bodies import ForwardBackwardBody
from chainrule_server.sessions.types import Durability, NonFinitePolicy, ReceiptMode
from chainrule_server.workers.coordinator import Coordinator
from chainrule_server.workers.pool import Pool
from support.session_scene import DURABILITIES, Client, Scene, batch, equal


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


@pytest.mark.parametrize("durability", DURABILITIES)
def test_one_batch_in_two_halves_is_a_step_to_the_bit(scene: Scene, durability: Durability) -> None:
    whole = scene.create("whole", durability=durability)
    halves = scene.create("halves", durability=durability)
    for i in range(4):
        step = whole.step(i)
        first = halves.forward_backward(i)
        assert (first.step, first.loss, first.grad_norms) == (i, step.loss, step.grad_norms)
        second = halves.optim_step()
        assert (second.step, second.loss, second.grad_norm) == (i + 1, step.loss, step.grad_norm)
        assert equal(whole.state(), halves.state())


def test_accumulated_batches_are_one_step_on_all_their_examples(scene: Scene) -> None:
    """Batches of different sizes: every example counts the same."""
    whole, parts = scene.create("whole"), scene.create("parts")
    x = np.concatenate([batch(1, 2)[0], batch(2, 5)[0], batch(3, 3)[0]])
    y = np.concatenate([batch(1, 2)[1], batch(2, 5)[1], batch(3, 3)[1]])
    for i, n in ((1, 2), (2, 5), (3, 3)):
        parts.forward_backward(i, n)
    body = whole.step_call(0)[1]
    values = {"batch/0": x, "batch/1": y}
    tensors = tuple(type(t)(t.name, values[t.name]) for t in body.batch)
    step = whole.send(type(body)(body.graph_digest, tensors))
    reply = parts.optim_step()
    assert reply.loss == pytest.approx(step.loss, rel=1e-12)
    assert reply.grad_norm == pytest.approx(step.grad_norm, rel=1e-12)
    expected, found = whole.state(), parts.state()
    for name in expected.keys() - {"buffers/seen"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-12)
    assert (int(expected["buffers/seen"]), int(found["buffers/seen"])) == (1, 3)


def test_a_weight_counts_every_example_so_often(scene: Scene) -> None:
    twice, weighted = scene.create("twice"), scene.create("weighted")
    for i in (1, 2, 2):
        twice.forward_backward(i)
    weighted.forward_backward(1, weight=0.5)
    weighted.forward_backward(2, weight=1.0)
    assert weighted.optim_step().loss == pytest.approx(twice.optim_step().loss, rel=1e-12)
    np.testing.assert_allclose(weighted.state()["params/w"], twice.state()["params/w"], rtol=1e-12)
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        refused(lambda w=weight: weighted.forward_backward(1, weight=w), ErrorCode.BAD_FIELD)  # type: ignore[misc]


def test_accumulated_gradients_survive_the_end_of_the_server(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    calm, client = scene.create("calm"), scene.create()
    for i in range(3):
        calm.forward_backward(i)
    calm.optim_step()
    truth = calm.state()
    for i, drained in enumerate((False, True, False)):
        client.forward_backward(i)
        assert "grads/w" in client.state()
        assert drained is False or scene.registry.drain(0.0) == ()
        scene.end()
        scene = Scene(tmp_path / "data")
        client.registry = scene.registry
    client.optim_step()
    assert equal(client.state(), truth)
    scene.end()


def test_what_would_overlook_accumulated_gradients_is_refused(scene: Scene) -> None:
    client = scene.create()
    refused(client.optim_step, ErrorCode.INCOMPATIBLE)
    before = client.state()
    client.forward_backward(0)
    refused(lambda: client.step(1), ErrorCode.INCOMPATIBLE)
    refused(lambda: client.set_state(params__b=np.array(1.0)), ErrorCode.INCOMPATIBLE)
    reply = client.discard_gradients()
    assert (reply.seq, reply.step) == (2, 0)
    after = client.state()
    assert equal({**after, "buffers/seen": before["buffers/seen"]}, before)
    assert client.step(1).step == 1


def test_halves_are_applied_once(scene: Scene) -> None:
    client = scene.create()
    client.forward_backward(0)
    at = client.seq, client.chain
    first = client.forward_backward(1)
    client.seq, client.chain = at
    again = client.forward_backward(1)
    assert again.replayed and (again.seq, again.loss) == (first.seq, first.loss)
    client.optim_step()
    calm = scene.create("calm")
    calm.forward_backward(0), calm.forward_backward(1), calm.optim_step()
    assert equal(client.state(), calm.state())


def test_a_failed_half_leaves_what_had_accumulated(scene: Scene) -> None:
    client, calm = scene.create(), scene.create("calm")
    for i in (0, 1):
        calm.forward_backward(i)
        scene.engine.failure = NumericError("no")
        refused(lambda i=i: client.forward_backward(i + 7), ErrorCode.NUMERIC_FAILURE)  # type: ignore[misc]
        client.forward_backward(i)
    client.optim_step(), calm.optim_step()
    assert equal(client.state(), calm.state())


def test_gradients_that_are_not_finite_follow_the_policy(scene: Scene) -> None:
    def poisoned(word: str, policy: NonFinitePolicy) -> Client:
        client = scene.create(word, non_finite=policy)
        client.forward_backward(0)
        return client

    nan = np.full((4, 3), np.nan)

    def bad(client: Client) -> object:
        body = client.step_call(1)[1]
        leaf = type(body.batch[0])("batch/0", nan)
        return client.send(ForwardBackwardBody(body.graph_digest, (leaf, body.batch[1])))

    strict = poisoned("strict", NonFinitePolicy.ERROR)
    refused(lambda: bad(strict), ErrorCode.NON_FINITE)
    lenient = poisoned("lenient", NonFinitePolicy.SKIP)
    bad(lenient)
    for client in (strict, lenient):
        client.optim_step()
    calm = poisoned("calm", NonFinitePolicy.ERROR)
    calm.optim_step()
    assert equal(strict.state(), calm.state())
    assert equal(lenient.state(), calm.state())


def test_leaves_are_set_and_the_others_stay(scene: Scene) -> None:
    client = scene.create()
    client.step(0), client.step(1)
    before = client.state()
    reply = client.set_state(params__b=np.array(3.5), state__w=np.ones((3, 1)))
    assert (reply.seq, reply.step) == (3, 2)
    after = client.state()
    assert equal(after, {**before, "params/b": np.array(3.5), "state/w": np.ones((3, 1))})
    refused(lambda: client.set_state(params__c=np.array(0.0)), ErrorCode.INCOMPATIBLE)
    refused(lambda: client.set_state(params__b=np.zeros(2)), ErrorCode.SHAPE_MISMATCH)
    refused(client.set_state, ErrorCode.INVALID_GRAPH)
    client.step(2)


def test_a_set_leaf_survives_the_end_of_the_server(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "data")
    client = scene.create()
    client.step(0), client.set_state(params__b=np.array(3.5)), client.step(1)
    state = client.state()
    scene.end()
    scene = Scene(tmp_path / "data")
    assert equal(scene.open().state(), state)
    scene.end()


def test_a_full_receipt_names_the_accumulated_gradients(scene: Scene) -> None:
    client = scene.create()
    body = client.step_call(0)[1]
    half = ForwardBackwardBody(body.graph_digest, body.batch)
    reply = client.send(half, receipts=ReceiptMode.FULL)
    assert {"grads/w", "params/w", "chain"} <= {r.name for r in reply.receipts}


@pytest.mark.faults
def test_the_real_engine_accumulates_as_the_reference_does(tmp_path: Path) -> None:
    with Pool(2) as pool:
        coordinator = Coordinator(pool)
        scene = Scene(tmp_path / "real", compiler=Programs(b"n" * 32), runner=coordinator)
        small = Scene(tmp_path / "small")
        client, reference = scene.create(), small.create()
        whole = scene.create("whole")
        for one in (client, reference):
            one.forward_backward(0), one.optim_step()
        whole.step(0)
        assert equal(client.state(), whole.state())
        for one in (client, reference):
            one.forward_backward(1, 3, weight=2.0), one.forward_backward(2, 6), one.optim_step()
        expected = reference.state()
        for name, value in client.state().items():
            np.testing.assert_allclose(value, expected[name], rtol=1e-12)
        scene.end()
        small.end()
        coordinator.close()
