"""Sessions over real gRPC: train, read, take over, close."""

import secrets

import numpy as np

from chainrule import calls
from chainrule.ir.operations import close_digest, next_chain
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.wire.records import Array
from chainrule.wire.tensor import tensors_from_proto, tensors_to_proto
from support.serving import Scene
from support.session_requests import MOMENTUM, RATE, W, create_request, step_request


def nowhere(digest: bytes) -> Array:
    raise AssertionError(digest.hex())


def test_a_session_trains_is_read_and_is_closed(scene: Scene) -> None:
    head = scene.answer(calls.CREATE, create_request()).head
    assert head.next_seq == 1
    x = np.random.default_rng(0).random((5, 3))
    w, m = W.copy(), np.zeros(3)
    chain = head.chain
    for seq in (1, 2, 3):
        request = step_request(head, x, chain, seq)
        reply = scene.answer(calls.STEP, request).reply
        chain = next_chain(chain, request.header.digest)
        np.testing.assert_allclose(reply.loss, np.sum((x * w) ** 2) / 5, rtol=1e-12)
        g = 2 * (x * x * w).sum(0) / 5
        m = MOMENTUM * m + g
        w = w - RATE * m
        assert (reply.seq, reply.step, reply.replayed, reply.finite) == (seq, seq, False, True)
        assert reply.chain == chain
        np.testing.assert_allclose(reply.grad_norm, np.linalg.norm(g), rtol=1e-12)
        assert reply.resources.workers_used >= 1
        assert scene.answer(calls.STEP, request).reply.replayed
    state = scene.answer(
        calls.GET_STATE, pb.GetStateRequest(session_id=head.session_id, prefixes=["params"])
    )
    arrays = tensors_from_proto(state.tensors, nowhere, "tensors")
    np.testing.assert_allclose(arrays["params/w"], w, rtol=1e-12)
    assert state.head.client_cursor == b"row 4"
    evaluated = scene.answer(
        calls.EVALUATE,
        pb.EvaluateRequest(session_id=head.session_id, batch=tensors_to_proto({"batch/0": x})),
    )
    outputs = tensors_from_proto(evaluated.outputs, nowhere, "outputs")
    np.testing.assert_allclose(outputs["loss"], np.sum((x * w) ** 2) / 5, rtol=1e-12)
    assert evaluated.step == 3
    listed = scene.answer(calls.LIST, pb.ListRequest())
    assert head.session_id in [found.session_id for found in listed.sessions]
    header = pb.OpHeader(
        session_id=head.session_id,
        epoch=head.epoch,
        seq=4,
        prev=chain,
        request_id=secrets.token_bytes(16),
        digest=close_digest(),
    )
    closed = scene.answer(calls.CLOSE, pb.CloseRequest(header=header))
    assert closed.reply.seq == 4
    listed = scene.answer(calls.LIST, pb.ListRequest())
    assert head.session_id not in [found.session_id for found in listed.sessions]


def test_open_takes_over_and_fences_the_older_client(scene: Scene) -> None:
    head = scene.answer(calls.CREATE, create_request(name="digits")).head
    opened = scene.answer(
        calls.OPEN, pb.OpenRequest(name="digits", request_id=secrets.token_bytes(16))
    ).head
    assert (opened.session_id, opened.epoch) == (head.session_id, head.epoch + 1)
    late = step_request(head, np.ones((2, 3)), head.chain, 1)
    refusal = scene.refusal(calls.STEP, late)
    assert (refusal.reason, refusal.status.name) == ("FENCED", "FAILED_PRECONDITION")
    assert refusal.error is not None
    assert refusal.error.facts["epoch"] == opened.epoch


def test_create_again_is_answered_again(scene: Scene) -> None:
    request = create_request()
    first = scene.answer(calls.CREATE, request)
    again = scene.answer(calls.CREATE, request)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.head.session_id == first.head.session_id


def test_a_list_comes_in_pages(scene: Scene) -> None:
    made = {scene.answer(calls.CREATE, create_request()).head.session_id for _ in range(3)}
    found: list[bytes] = []
    page = b""
    while True:
        reply = scene.answer(calls.LIST, pb.ListRequest(page_size=2, page=page))
        found += [head.session_id for head in reply.sessions]
        page = reply.next_page
        if not page:
            break
    assert made <= set(found)
    assert len(found) == len(set(found))


def test_what_a_session_refuses_keeps_its_facts_on_the_wire(scene: Scene) -> None:
    head = scene.answer(calls.CREATE, create_request()).head
    wrong = step_request(head, np.ones((2, 3)), bytes(32), 1)
    refusal = scene.refusal(calls.STEP, wrong)
    assert (refusal.reason, refusal.status.name) == ("HISTORY_MISMATCH", "ABORTED")
    assert refusal.error is not None
    assert refusal.error.facts["next_seq"] == 1
    without = create_request()
    without.optimizer.ClearField("init")
    assert scene.refusal(calls.CREATE, without).reason == "MISSING_FIELD"
    unknown = pb.GetStateRequest(session_id=b"x" * 16)
    assert scene.refusal(calls.GET_STATE, unknown).status.name == "NOT_FOUND"
    policy = create_request()
    policy.durability = 9  # type: ignore[assignment]  # an enum of a newer sender
    assert scene.refusal(calls.CREATE, policy).reason == "BAD_FIELD"
