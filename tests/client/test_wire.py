"""Round trips of the pairs in `chainrule.wire`, and what each refuses."""

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.tensors import tensor_digest
from chainrule.proto.v1 import report_pb2, session_pb2, tensor_pb2
from chainrule.wire.calls import (
    node_costs_from_proto,
    node_costs_to_proto,
    wish_avals_from_proto,
    wishes_from_proto,
    wishes_to_proto,
)
from chainrule.wire.records import (
    Array,
    Computation,
    Header,
    NodeCost,
    Notice,
    Numerics,
    Resources,
    Wish,
)
from chainrule.wire.reports import (
    notices_from_proto,
    notices_to_proto,
    numerics_from_proto,
    numerics_to_proto,
    resources_from_proto,
    resources_to_proto,
)
from chainrule.wire.sessions import (
    head_from_proto,
    header_from_proto,
    header_to_proto,
    reply_from_proto,
)
from chainrule.wire.tensor import (
    aval_from_proto,
    object_to_proto,
    payload_bytes,
    tensor_from_proto,
    tensor_to_proto,
    tensors_from_proto,
    tensors_to_proto,
)

ARRAYS: list[Array] = [
    np.array(1.5),
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.arange(6, dtype=np.int64).reshape(2, 3).T,
    np.array([True, False]),
    np.zeros((0, 4), np.uint8),
    np.array([np.nan, -0.0, np.inf]),
]


def nowhere(digest: bytes) -> Array:
    raise AssertionError(f"nothing should be fetched, least of all {digest!r}")


def refusal(message: tensor_pb2.Tensor) -> ChainruleError:
    with pytest.raises(ChainruleError) as caught:
        tensor_from_proto(message, nowhere, "feeds[3].tensor")
    return caught.value


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: f"{a.dtype}{a.shape}")
def test_an_array_comes_back_bit_for_bit(array: Array) -> None:
    back = tensor_from_proto(tensor_to_proto(array), nowhere)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


def test_an_array_is_read_without_a_copy_and_read_only() -> None:
    back = tensor_from_proto(tensor_to_proto(np.arange(1000.0)), nowhere)
    assert not back.flags.owndata
    assert not back.flags.writeable


def test_an_object_is_fetched_and_held_against_its_aval() -> None:
    array = np.arange(4.0)
    message = object_to_proto(aval_from_proto(tensor_to_proto(array)), tensor_digest(array))
    assert tensor_from_proto(message, lambda digest: array) is array
    with pytest.raises(ChainruleError) as caught:
        tensor_from_proto(message, lambda digest: np.arange(5.0))
    assert caught.value.code is ErrorCode.SHAPE_MISMATCH


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (tensor_pb2.Tensor(dtype="D_TYPE_FLOAT64", dims=[2], raw=bytes(15)), ErrorCode.BYTE_LENGTH),
        (tensor_pb2.Tensor(dtype="D_TYPE_FLOAT64", dims=[2], raw=bytes(17)), ErrorCode.BYTE_LENGTH),
        (tensor_pb2.Tensor(dtype="D_TYPE_FLOAT64", dims=[2]), ErrorCode.BYTE_LENGTH),
        (tensor_pb2.Tensor(dims=[2], raw=bytes(16)), ErrorCode.BAD_DTYPE),
        (tensor_pb2.Tensor(dtype="D_TYPE_BOOL", dims=[2], raw=b"\0\2"), ErrorCode.BAD_FIELD),
        (tensor_pb2.Tensor(dtype="D_TYPE_UINT8", dims=[2**63]), ErrorCode.BAD_DIM),
        (tensor_pb2.Tensor(dtype="D_TYPE_UINT8", dims=[2**32, 2**32, 3]), ErrorCode.BAD_DIM),
        (
            tensor_pb2.Tensor(dtype="D_TYPE_UINT8", dims=[0, 2**31 - 1, 2**31 - 1, 8]),
            ErrorCode.TOO_LARGE,
        ),
        (tensor_pb2.Tensor(dtype="D_TYPE_UINT8", dims=[1] * 9), ErrorCode.RANK_TOO_LARGE),
        (tensor_pb2.Tensor(dtype="D_TYPE_UINT8", object_digest=b"short"), ErrorCode.BAD_FIELD),
        (
            tensor_pb2.Tensor(dtype="D_TYPE_UINT8", arena=tensor_pb2.ArenaSlice(length=1)),
            ErrorCode.PERMISSION_DENIED,
        ),
    ],
)
def test_a_tensor_that_lies_is_refused_with_its_path(
    message: tensor_pb2.Tensor, code: ErrorCode
) -> None:
    error = refusal(message)
    assert error.code is code
    assert error.field == "feeds[3].tensor"


def test_a_name_comes_once_and_is_a_name() -> None:
    twice = [*tensors_to_proto({"a": ARRAYS[0]}), *tensors_to_proto({"a": ARRAYS[0]})]
    for messages, code in (
        (twice, ErrorCode.DUPLICATE_NAME),
        (tensors_to_proto({"a\u202eb": ARRAYS[0]}), ErrorCode.BAD_NAME),
    ):
        with pytest.raises(ChainruleError) as caught:
            tensors_from_proto(messages, nowhere, "feeds")
        assert caught.value.code is code


def test_payload_is_what_the_arrays_take_wherever_they_are() -> None:
    assert (
        payload_bytes(tensors_to_proto({"a": np.zeros((3, 5)), "b": np.zeros(4, np.uint8)})) == 124
    )


def test_wishes_come_back() -> None:
    wishes = (
        Wish(Computation.VALUE),
        Wish(Computation.VJP, ("args/0",), ("out",), {"out": np.arange(3.0)}),
    )
    back = wishes_from_proto(wishes_to_proto(wishes), nowhere)
    assert [(w.computation, w.wrt, w.outs) for w in back] == [
        (w.computation, w.wrt, w.outs) for w in wishes
    ]
    assert back[1].directions["out"].tolist() == [0.0, 1.0, 2.0]
    (_, none), (_, avals) = wish_avals_from_proto(wishes_to_proto(wishes))
    assert (none, str(avals["out"])) == ({}, "float64[3]")


def test_reports_come_back() -> None:
    numerics = Numerics(b"n" * 32, 64, 8, "numpy", "1", "2.0", "openblas", "Zen")
    assert numerics_from_proto(numerics_to_proto(numerics)) == numerics
    resources = Resources(0.5, 0.25, 1e9, True, 4096, 2, 1)
    assert resources_from_proto(resources_to_proto(resources)) == resources
    notices = (Notice("COUPLED", "text", "main", 3, "h", "m.py:4"), Notice("OTHER", "no node"))
    assert notices_from_proto(notices_to_proto(notices)) == notices
    costs = (NodeCost("main", 3, "MatMul", "h", "m.py:4", 100.0, 800),)
    assert node_costs_from_proto(node_costs_to_proto(costs)) == costs


def test_a_header_comes_back() -> None:
    header = Header(b"s" * 16, 2, 7, b"p" * 32, b"r" * 16, b"d" * 32, b"cursor", 2)
    assert header_from_proto(header_to_proto(header)) == header


def test_replies_and_heads_are_read() -> None:
    reply = reply_from_proto(
        session_pb2.OpReply(
            seq=3,
            step=2,
            loss=0.5,
            finite=True,
            parameter_grad_norms=[session_pb2.NamedNumber(name="params/w", value=2.0)],
            metrics=tensors_to_proto({"metrics/a": np.array(1.0)}),
            resources=report_pb2.Resources(flops=10),
        ),
        nowhere,
    )
    assert (reply.seq, reply.step, reply.loss, reply.grad_norm) == (3, 2, 0.5, None)
    assert reply.grad_norms == {"params/w": 2.0}
    assert reply.metrics["metrics/a"] == 1.0
    head = head_from_proto(session_pb2.SessionHead(session_id=b"s" * 16, next_seq=4, frozen=["b"]))
    assert (head.session_id, head.next_seq, head.frozen) == (b"s" * 16, 4, ("b",))
