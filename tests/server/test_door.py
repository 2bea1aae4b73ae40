"""The stages in their order, checked graphs, and feeds; the parts have tests of their own in door/."""

import time

import numpy as np
import pytest

from chainrule import calls
from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.limits import DEFAULT, Limits
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import graph_pb2
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.records import Array
from chainrule_server.door.door import Bounds, Door
from chainrule_server.door.feeds import bind
from chainrule_server.door.graphs import GraphStore
from chainrule_server.door.request import Arrival
from chainrule_server.door.tokens import Tokens, single_token
from chainrule_server.workers.cancellation import Cancellation
from support.sample_graphs import article, bomb, mean_square

BOUNDS = Bounds(graph=DEFAULT, nbytes=2**24, threads=4, slots=1)
TOO_LONG = bytes(calls.COMPUTE.request_bytes + 1)
GARBAGE = b"\xff\xff"


def arrival(data: bytes = b"", token: str | None = None, left_s: float | None = None) -> Arrival:
    header = f"Bearer {token}" if token else None
    return Arrival(data, header, "00" * 16, left_s, Cancellation())


def code_of(door: Door, given: Arrival) -> ErrorCode:
    with pytest.raises(ChainruleError) as refusal, door.open(calls.COMPUTE, given):
        pass
    assert (door.arriving.used, door.running.used) == (0, 0)
    return refusal.value.code


def test_each_stage_refuses_before_the_next_one_looks() -> None:
    door = Door(single_token("secret"), BOUNDS)
    everything_wrong = arrival(TOO_LONG, None, -1.0)
    assert code_of(door, everything_wrong) is ErrorCode.UNAUTHENTICATED
    assert code_of(door, arrival(TOO_LONG, "secret", -1.0)) is ErrorCode.DEADLINE
    assert code_of(door, arrival(TOO_LONG, "secret", 1.0)) is ErrorCode.MESSAGE_TOO_LARGE
    assert code_of(door, arrival(GARBAGE, "secret", 1.0)) is ErrorCode.MALFORMED_MESSAGE
    door.close()
    assert code_of(door, everything_wrong) is ErrorCode.DRAINING


def test_inside_the_call_holds_its_bytes_and_a_bounded_deadline() -> None:
    door = Door(Tokens(), BOUNDS)
    data = pb.ComputeRequest(seed=7).SerializeToString()
    with door.open(calls.COMPUTE, arrival(data, None, 1e9)) as request:
        assert request.body.seed == 7
        assert request.tenant == "default"
        assert request.deadline <= time.monotonic() + calls.MAX_DEADLINE_S
        assert door.arriving.used == len(data)
    assert door.arriving.used == 0


def test_operations_of_sessions_hold_at_most_half_of_the_threads() -> None:
    door = Door(Tokens(), BOUNDS)
    with (
        door.open(calls.STEP, arrival()),
        door.open(calls.STEP, arrival()),
        pytest.raises(ChainruleError) as refusal,
        door.open(calls.STEP, arrival()),
    ):
        pass
    assert refusal.value.code is ErrorCode.OVERLOADED
    with door.open(calls.STEP, arrival()), door.open(calls.COMPUTE, arrival()):
        pass


def test_a_run_larger_than_the_server_is_refused() -> None:
    door = Door(Tokens(), BOUNDS)
    with (
        door.open(calls.COMPUTE, arrival()) as request,
        pytest.raises(ChainruleError) as refusal,
        door.run(request, 2**24, 1.0),
    ):
        pass
    assert refusal.value.code is ErrorCode.COST_BYTES
    assert door.running.used == 0


def test_a_graph_is_checked_once_and_found_by_its_tenant_only() -> None:
    store = GraphStore(DEFAULT)
    message, debug = graph_to_proto(article()), debug_to_proto(article())
    known = store.register("a", message, debug)
    assert store.register("a", message, debug) is known
    assert store.get("a", known.digest) is known
    assert store.find("b", known.digest) is None
    with pytest.raises(ChainruleError) as refusal:
        store.get("b", known.digest)
    assert refusal.value.code is ErrorCode.OBJECT_MISSING
    assert refusal.value.facts["missing"] == (known.digest,)


def test_other_labels_are_the_same_graph_with_its_own_lines() -> None:
    store = GraphStore(DEFAULT)
    first = store.register("a", graph_to_proto(article()), debug_to_proto(article()))
    second = store.register("a", graph_to_proto(article()), graph_pb2.Debug())
    assert first.digest == second.digest
    assert first.graph.debug != second.graph.debug


def test_a_flood_of_graphs_pushes_out_only_its_senders_own() -> None:
    store = GraphStore(DEFAULT, tenant_bytes=20_000)
    kept = store.register("a", graph_to_proto(article()), graph_pb2.Debug())
    for width in range(1, 50):
        store.register("b", graph_to_proto(mean_square(width)), graph_pb2.Debug())
    assert store.find("a", kept.digest) is not None
    assert store.find("b", kept.digest) is None


def test_the_servers_limit_of_nodes_is_held() -> None:
    store = GraphStore(Limits(nodes=3))
    with pytest.raises(ChainruleError) as refusal:
        store.register("a", graph_to_proto(bomb()), graph_pb2.Debug())
    assert refusal.value.code is ErrorCode.TOO_MANY_NODES


INPUTS = {
    "w": Aval(DType.FLOAT64, (3,)),
    "x": Aval(DType.FLOAT64, (BatchDim(2), 3)),
}


def nowhere(digest: bytes) -> Array:
    raise AssertionError(digest.hex())


def test_feeds_give_the_number_of_examples() -> None:
    bound, n = bind(INPUTS, {"w": np.ones(3), "x": np.ones((8, 3))}, nowhere)
    assert (list(bound), n) == (["w", "x"], 4)


def test_a_captured_array_is_fetched_by_its_name() -> None:
    name = "capture/" + "ab" * 32
    array = np.ones(2)
    bound, n = bind({name: Aval(DType.FLOAT64, (2,))}, {}, lambda digest: array)
    assert bound[name] is array
    assert n == 1


@pytest.mark.parametrize(
    ("feeds", "examples", "code"),
    [
        ({"w": np.ones(3)}, 0, ErrorCode.MISSING_FIELD),
        ({"w": np.ones(3), "x": np.ones((8, 3)), "y": np.ones(1)}, 0, ErrorCode.BAD_FIELD),
        ({"w": np.ones(3), "x": np.ones((7, 3))}, 0, ErrorCode.SHAPE_MISMATCH),
        ({"w": np.ones(3), "x": np.ones((8, 3))}, 5, ErrorCode.BATCH_MISMATCH),
        ({"w": np.ones(3), "x": np.ones((0, 3))}, 0, ErrorCode.BATCH_MISMATCH),
        ({"w": np.ones(3, np.float32), "x": np.ones((8, 3))}, 0, ErrorCode.DTYPE_MISMATCH),
        ({"w": np.ones((3, 1)), "x": np.ones((8, 3))}, 0, ErrorCode.SHAPE_MISMATCH),
    ],
)
def test_feeds_that_dont_fit_are_refused(
    feeds: dict[str, Array], examples: int, code: ErrorCode
) -> None:
    with pytest.raises(ChainruleError) as refusal:
        bind(INPUTS, feeds, nowhere, examples)
    assert refusal.value.code is code
