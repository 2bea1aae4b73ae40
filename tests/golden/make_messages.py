"""Write tests/golden/v1/*.binpb: a message of each kind as the first release sent it.

Never run it to make a test pass: what these bytes mean may not change within version 1. A new message gets a
new file: `python -m golden.make_messages NAME` (in tests/) writes that one only.
"""

import sys
from pathlib import Path

import numpy as np
from google.protobuf.message import Message

from chainrule.errors import Applied, ErrorCode, Retry, StepGap
from chainrule.ir.tensors import encode_tensor, tensor_digest
from chainrule.proto.v1 import error_pb2, gradient_pb2, object_pb2, session_pb2
from chainrule.wire.calls import wishes_to_proto
from chainrule.wire.errors import detail_to_proto
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.records import Computation, Wish
from chainrule.wire.tensor import tensors_to_proto
from support.sample_graphs import article, mean_square

FOLDER = Path(__file__).parent / "v1"


def compute_request() -> gradient_pb2.ComputeRequest:
    """The article's graph with every computation that is served."""
    graph = article()
    one = {"args/0": np.array(1.0)}
    return gradient_pb2.ComputeRequest(
        graph=graph_to_proto(graph),
        debug=debug_to_proto(graph),
        feeds=tensors_to_proto({"args/0": np.array(0.7)}),
        wishes=wishes_to_proto(
            [
                Wish(Computation.VALUE),
                Wish(Computation.GRAD, ("args/0",)),
                Wish(Computation.VJP, ("args/0",), ("out",), {"out": np.array(1.0)}),
                Wish(Computation.JVP, ("args/0",), (), one),
                Wish(Computation.HVP, ("args/0",), (), one),
            ]
        ),
        limits=gradient_pb2.ComputeLimits(max_bytes=2**20, deadline_ms=5000),
        seed=7,
    )


def register_request() -> gradient_pb2.RegisterRequest:
    """A graph with a batch dimension."""
    graph = mean_square()
    return gradient_pb2.RegisterRequest(graph=graph_to_proto(graph), debug=debug_to_proto(graph))


def step_request() -> session_pb2.StepRequest:
    """A step with its whole header."""
    header = session_pb2.OpHeader(
        session_id=bytes(range(16)),
        epoch=2,
        seq=7,
        prev=bytes(range(32)),
        request_id=bytes(range(16, 32)),
        digest=bytes(range(32, 64)),
        client_cursor=b"row 96",
        receipts="RECEIPT_MODE_CHAIN",
    )
    return session_pb2.StepRequest(
        header=header,
        graph_digest=bytes(range(64, 96)),
        batch=tensors_to_proto({"batch/0": np.arange(6, dtype=np.float32).reshape(2, 3)}),
        weight=0.5,
    )


def put_request() -> object_pb2.PutRequest:
    """A whole object in one chunk."""
    array = np.arange(4, dtype=np.int64)
    data = encode_tensor(array)
    return object_pb2.PutRequest(
        upload_id=bytes(range(16)), digest=tensor_digest(array), total=len(data), data=data
    )


def error_detail() -> error_pb2.ErrorDetail:
    """A refusal with every fact."""
    return detail_to_proto(
        StepGap(
            "operation 7 came before 5",
            code=ErrorCode.STEP_GAP,
            request_id=bytes(range(16)).hex(),
            function="main",
            node=3,
            label="h",
            line="model.py:31",
            field="header.seq",
            cure="send 5 first",
            retry=Retry.AFTER,
            applied=Applied.NO,
            next_seq=5,
            chain=bytes(range(32)),
            epoch=2,
            failed_seq=4,
            limit=4,
            value=7,
            missing=(bytes(range(32)),),
            retry_after_s=0.25,
            cursor=b"row 96",
        )
    )


MESSAGES = {
    "compute_request": compute_request,
    "register_request": register_request,
    "step_request": step_request,
    "put_request": put_request,
    "error_detail": error_detail,
}


def write(name: str) -> None:
    """One file."""
    message: Message = MESSAGES[name]()
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.binpb").write_bytes(message.SerializeToString(deterministic=True))


if __name__ == "__main__":
    for given in sys.argv[1:]:
        write(given)
