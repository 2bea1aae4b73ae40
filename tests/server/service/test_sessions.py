import secrets

import numpy as np

from chainrule import calls
from chainrule.ir import canonical
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, reduce_sum
from chainrule.ir.graph import Graph
from chainrule.ir.operations import close_digest, next_chain, step_digest
from chainrule.ir.tensors import tensor_digest
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.records import Array
from chainrule.wire.tensor import tensors_from_proto, tensors_to_proto
from support.serving import Scene

F64 = DType.FLOAT64
W = np.array([1.0, -2.0, 3.0])
RATE, MOMENTUM = 0.1, 0.9


def loss_graph() -> Graph:
    """mean over N of sum((x * w)^2)."""
    b = Builder()
    w = Expr(b, b.input("params/w", Aval(F64, (3,))))
    x = Expr(b, b.input("batch/0", Aval(F64, (BatchDim(), 3))))
    n = Expr(b, b.add("Cast", b.add("DimSize", k=1), dtype=F64))
    z = x * w
    loss = reduce_sum(z * z, axes=(0, 1), keepdims=False) / n
    return Graph((b.finish((loss.id,), ("loss",), "main"),), (b.debug(),))


def optimizer() -> pb.OptimizerGraphs:
    """Momentum: m <- 0.9 m + g; update = -0.1 m."""
    aval = Aval(F64, (3,))
    b = Builder()
    w = Expr(b, b.input("params/w", aval))
    init = Graph((b.finish(((w * 0.0).id,), ("state/m/w",), "init"),))
    b = Builder()
    g = Expr(b, b.input("grads/w", aval))
    m = Expr(b, b.input("state/m/w", aval))
    b.input("params/w", aval)
    b.input("step", Aval(DType.INT64))
    new = m * MOMENTUM + g
    update = Graph((b.finish(((new * -RATE).id, new.id), ("updates/w", "state/m/w"), "update"),))
    return pb.OptimizerGraphs(
        init=pb.GraphRef(graph=graph_to_proto(init)),
        update=pb.GraphRef(graph=graph_to_proto(update)),
    )


def create_request(name: str = "") -> pb.CreateRequest:
    graph = loss_graph()
    return pb.CreateRequest(
        session_id=secrets.token_bytes(16),
        request_id=secrets.token_bytes(16),
        graphs=[pb.GraphRef(graph=graph_to_proto(graph), debug=debug_to_proto(graph))],
        optimizer=optimizer(),
        params=tensors_to_proto({"params/w": W}),
        name=name,
    )


def step_request(head: pb.SessionHead, x: Array, prev: bytes, seq: int) -> pb.StepRequest:
    graph = canonical.digest(loss_graph())
    digest = step_digest(graph, [("batch/0", tensor_digest(x))], cursor=b"row 4")
    return pb.StepRequest(
        header=pb.OpHeader(
            session_id=head.session_id,
            epoch=head.epoch,
            seq=seq,
            prev=prev,
            request_id=secrets.token_bytes(16),
            digest=digest,
            client_cursor=b"row 4",
        ),
        graph_digest=graph,
        batch=tensors_to_proto({"batch/0": x}),
    )


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
