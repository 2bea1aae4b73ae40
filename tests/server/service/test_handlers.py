"""Bad input over real gRPC: a status and a reason of the table, and nothing else changes."""

import random
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import Message

from chainrule import calls
from chainrule.calls import CALLS, Call
from chainrule.errors import ErrorCode
from chainrule.proto.v1 import gradient_pb2 as pb
from chainrule.proto.v1 import object_pb2, server_pb2, session_pb2
from chainrule.wire.calls import wishes_to_proto
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.records import Computation, Wish
from chainrule.wire.tensor import tensors_to_proto
from support.sample_graphs import article, bomb
from support.serving import Refusal, Scene, refusal_of, serving
from support.session_requests import create_request, step_request

ALLOWED = {code.status for code in ErrorCode} - {"INTERNAL"}


def compute(**fields: object) -> pb.ComputeRequest:
    graph = article()
    given: dict[str, object] = {
        "graph": graph_to_proto(graph),
        "debug": debug_to_proto(graph),
        "feeds": tensors_to_proto({"args/0": np.array(0.7)}),
        "wishes": wishes_to_proto([Wish(Computation.GRAD, ("args/0",))]),
    }
    return pb.ComputeRequest(**(given | fields))  # type: ignore[arg-type]


def example(call: Call[Message, Message]) -> Message:
    """A request of each call that is whole, so that its mutants reach as deep as they can."""
    head = session_pb2.SessionHead(session_id=b"s" * 16, epoch=1)
    step = step_request(head, np.ones((2, 3)), bytes(32), 1)
    whole = compute()
    graph: dict[str, Any] = {"graph": whole.graph, "debug": whole.debug}
    examples: dict[str, Message] = {
        "GetInfo": server_pb2.GetInfoRequest(),
        "Register": pb.RegisterRequest(**graph),
        "Compute": whole,
        "Estimate": pb.EstimateRequest(**graph, wishes=whole.wishes),
        "Explain": pb.ExplainRequest(**graph, feeds=whole.feeds, wrt=["args/0"]),
        "Derive": pb.DeriveRequest(lease_id=b"l" * 16, wishes=whole.wishes),
        "Verify": pb.VerifyRequest(**graph, feeds=whole.feeds, wrt=["args/0"]),
        "Release": pb.ReleaseRequest(lease_id=b"l" * 16),
        "Create": create_request(),
        "Open": session_pb2.OpenRequest(session_id=b"s" * 16, request_id=b"r" * 16),
        "Step": step,
        "ForwardBackward": session_pb2.ForwardBackwardRequest(
            header=step.header, graph_digest=step.graph_digest, batch=step.batch, weight=2.0
        ),
        "OptimStep": session_pb2.OptimStepRequest(header=step.header),
        "DiscardGradients": session_pb2.DiscardGradientsRequest(header=step.header),
        "Save": session_pb2.SaveRequest(header=step.header, name="n"),
        "Restore": session_pb2.RestoreRequest(
            header=step.header, checkpoint_digest=b"d" * 32, allow_drift=True
        ),
        "Fork": session_pb2.ForkRequest(
            request_id=b"r" * 16, parent_id=b"s" * 16, child_id=b"c" * 16, at_seq=2, name="n"
        ),
        "GetLog": session_pb2.GetLogRequest(session_id=b"s" * 16, from_seq=2, limit=3),
        "ListCheckpoints": session_pb2.ListCheckpointsRequest(name="n", page="a"),
        "SetState": session_pb2.SetStateRequest(header=step.header, tensors=step.batch),
        "Evaluate": session_pb2.EvaluateRequest(session_id=b"s" * 16),
        "GetState": session_pb2.GetStateRequest(session_id=b"s" * 16, prefixes=["params"]),
        "List": session_pb2.ListRequest(page_size=2, page=b"p"),
        "Close": session_pb2.CloseRequest(header=session_pb2.OpHeader(session_id=b"s" * 16)),
        "Has": object_pb2.HasRequest(digests=[b"d" * 32]),
        "Put": object_pb2.PutRequest(upload_id=b"u" * 16, digest=b"d" * 32, total=100, data=b"x"),
        "QueryUpload": object_pb2.QueryUploadRequest(upload_id=b"u" * 16),
        "Get": object_pb2.GetRequest(digest=b"d" * 32),
    }
    return examples[call.method]


@contextmanager
def unchanged(scene: Scene) -> Iterator[None]:
    """What is kept is the same after the block as before: bytes, sessions, workers, descriptors."""
    before = kept(scene)
    yield
    assert kept(scene) == before


def kept(scene: Scene) -> tuple[object, ...]:
    parts = scene.app.parts
    stats = parts.coordinator.pool.stats()
    return (
        parts.door.arriving.used,
        parts.door.running.used,
        tuple(worker.pid for worker in stats.workers),
        stats.deaths,
        len(scene.answer(calls.LIST, session_pb2.ListRequest(page_size=1000)).sessions),
        len(list(Path("/proc/self/fd").iterdir())),
    )


def mutants(data: bytes, rng: random.Random) -> Iterator[bytes]:
    yield from (data[:n] for n in sorted(rng.sample(range(len(data) + 1), min(len(data), 40))))
    for _ in range(60):
        sample = bytearray(data or b"\0")
        for _ in range(rng.randint(1, 3)):
            sample[rng.randrange(len(sample))] = rng.randrange(256)
        yield bytes(sample)
    yield from (rng.randbytes(rng.randint(1, 300)) for _ in range(40))


@pytest.mark.parametrize("call", CALLS.values(), ids=lambda call: call.method)
def test_cut_random_and_mutated_bytes_get_a_status_of_the_table(
    scene: Scene, call: Call[Message, Message]
) -> None:
    rng = random.Random(call.method)
    scene.answer(calls.GET_INFO, server_pb2.GetInfoRequest())
    for sample in mutants(example(call).SerializeToString(), rng):
        try:
            scene.send(call.path, sample)
        except grpc.RpcError as failure:
            refusal = refusal_of(failure)
            assert refusal.status.name in ALLOWED, (sample.hex(), refusal)
            assert refusal.error is not None, (sample.hex(), refusal)
            assert refusal.error.code.status == refusal.status.name
            assert refusal.error.request_id is not None
            assert not leaks(refusal), refusal


def leaks(refusal: Refusal) -> bool:
    """Whether a text shows what is the server's own: paths, modules, tracebacks."""
    here = str(Path(__file__).parents[3])
    signs = (here, "/tmp/", "site-packages", "Traceback", '.py"', "chainrule_server", "0x7f")
    return any(sign in refusal.text for sign in signs)


def named(change: str) -> pb.ComputeRequest:
    request = compute()
    function, feed = request.graph.functions[0], request.feeds[0].tensor
    match change:
        case "unknown op":
            request.graph.strings[function.ops[1]] = "os.system"
        case "forward reference":
            function.inputs[0] = 5
        case "nothing asked":
            del request.wishes[:]
        case "no graph":
            request.ClearField("graph")
        case "unknown graph":
            request.graph_digest = b"d" * 32
        case "unknown wrt":
            request.wishes[0].wrt[0] = "args/7"
        case "unknown computation":
            request.wishes[0].computation = 99  # type: ignore[assignment]
        case "lanes of a gradient":
            request.wishes[0].lanes = 2
        case "feed shape":
            feed.dims.append(1)
        case "feed dtype":
            request.feeds[0].CopyFrom(tensors_to_proto({"args/0": np.array(1, np.float32)})[0])
        case "byte length":
            feed.raw = feed.raw[:-1]
        case "dtype number":
            feed.dtype = 16  # type: ignore[assignment]
        case "missing feed":
            del request.feeds[:]
        case "feed twice":
            request.feeds.append(request.feeds[0])
        case "unknown feed":
            request.feeds[0].name = "args/1"
        case "bidi name":
            request.feeds[0].name = "args/\u202e0"
        case "missing object":
            feed.object_digest = b"d" * 32
        case "arena":
            feed.arena.length = 8
        case "huge constant":
            huge = request.graph.attribute_sets.add().attributes.add()
            huge.bytes_value = bytes(65 * 1024)
        case "aval":
            request.graph.avals[0].shape.values.append(2)
    return request


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ("unknown op", "INVALID_ARGUMENT", "UNKNOWN_OP"),
        ("forward reference", "INVALID_ARGUMENT", "BAD_REF"),
        ("nothing asked", "INVALID_ARGUMENT", "MISSING_FIELD"),
        ("no graph", "INVALID_ARGUMENT", "MISSING_FIELD"),
        ("unknown graph", "FAILED_PRECONDITION", "OBJECT_MISSING"),
        ("unknown wrt", "INVALID_ARGUMENT", "BAD_REF"),
        ("unknown computation", "INVALID_ARGUMENT", "BAD_FIELD"),
        ("lanes of a gradient", "INVALID_ARGUMENT", "BAD_FIELD"),
        ("feed shape", "INVALID_ARGUMENT", "SHAPE_MISMATCH"),
        ("feed dtype", "INVALID_ARGUMENT", "DTYPE_MISMATCH"),
        ("byte length", "INVALID_ARGUMENT", "BYTE_LENGTH"),
        ("dtype number", "INVALID_ARGUMENT", "BAD_DTYPE"),
        ("missing feed", "INVALID_ARGUMENT", "MISSING_FIELD"),
        ("feed twice", "INVALID_ARGUMENT", "DUPLICATE_NAME"),
        ("unknown feed", "INVALID_ARGUMENT", "BAD_FIELD"),
        ("bidi name", "INVALID_ARGUMENT", "BAD_NAME"),
        ("missing object", "FAILED_PRECONDITION", "OBJECT_MISSING"),
        ("arena", "PERMISSION_DENIED", "PERMISSION_DENIED"),
        ("huge constant", "INVALID_ARGUMENT", "CONSTANT_TOO_LARGE"),
        ("aval", "INVALID_ARGUMENT", "SHAPE_MISMATCH"),
    ],
)
def test_a_wrong_request_is_refused_by_name_and_nothing_changes(
    scene: Scene, change: str, status: str, reason: str
) -> None:
    scene.answer(calls.COMPUTE, compute())
    with unchanged(scene):
        refusal = scene.refusal(calls.COMPUTE, named(change))
    assert (refusal.status.name, refusal.reason) == (status, reason)
    assert refusal.error is not None
    assert refusal.error.cure, "a refusal says what to do"


def test_a_refusal_names_node_label_and_source_line(scene: Scene) -> None:
    refusal = scene.refusal(calls.COMPUTE, named("unknown op"))
    assert refusal.error is not None
    assert refusal.error.node is not None
    assert refusal.error.line is not None
    assert refusal.error.line.startswith("article.py:")
    assert refusal.error.line in refusal.text


def test_a_bomb_is_refused_before_any_worker_hears_of_it(scene: Scene) -> None:
    message = pb.ComputeRequest(
        graph=graph_to_proto(bomb()),
        feeds=tensors_to_proto({"args/0": np.ones((1, 1))}),
        wishes=wishes_to_proto([Wish(Computation.GRAD, ("args/0",))]),
    )
    tasks = sum(w.tasks_done for w in scene.app.parts.coordinator.pool.stats().workers)
    with unchanged(scene):
        refusal = scene.refusal(calls.COMPUTE, message)
    assert (refusal.status.name, refusal.reason) == ("RESOURCE_EXHAUSTED", "COST_BYTES")
    assert refusal.error is not None
    assert refusal.error.facts["value"] > 10**12
    assert sum(w.tasks_done for w in scene.app.parts.coordinator.pool.stats().workers) == tasks


def test_a_message_above_its_calls_bound_is_refused_by_size(scene: Scene) -> None:
    refusal = scene.refusal(calls.GET_INFO, b"\xfa\x3f\x80\x10" + bytes(2048))
    assert refusal.reason == "MESSAGE_TOO_LARGE"
    assert refusal.error is not None
    assert refusal.error.facts["limit"] == calls.GET_INFO.request_bytes


def test_a_deadline_of_the_message_is_kept_and_its_request_id_comes_back(scene: Scene) -> None:
    request_id = secrets.token_hex(16)
    refusal = scene.refusal(
        calls.COMPUTE, named("unknown op"), metadata=(("x-request-id", request_id),)
    )
    assert refusal.error is not None
    assert refusal.error.request_id == request_id


def test_a_name_for_the_call_that_is_none_is_not_taken(scene: Scene) -> None:
    refusal = scene.refusal(
        calls.COMPUTE, named("unknown op"), metadata=(("x-request-id", "../../etc"),)
    )
    assert refusal.error is not None
    assert refusal.error.request_id is not None
    assert len(refusal.error.request_id) == 32


def test_an_unknown_method_is_unimplemented(scene: Scene) -> None:
    with pytest.raises(grpc.RpcError) as failure:
        scene.send("/chainrule.v1.GradientService/Pickle", b"")
    assert failure.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_no_token_no_call(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    # printf %s secret | sha256sum
    tokens.write_text(
        "# of a test\nlab:2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n"
    )
    with serving(tmp_path, token_file=tokens) as scene:
        ok = (("authorization", "Bearer secret"),)
        assert scene.answer(calls.GET_INFO, server_pb2.GetInfoRequest(), metadata=ok).workers == 1
        texts = set()
        for value in (None, "secret", "Basic secret", "Bearer", "Bearer secre", "Bearer secret2"):
            metadata = () if value is None else (("authorization", value),)
            refusal = scene.refusal(calls.GET_INFO, b"", metadata=metadata)
            assert refusal.status is grpc.StatusCode.UNAUTHENTICATED
            texts.add(refusal.text)
        assert len(texts) == 1, "the text tells nothing of what was wrong"
