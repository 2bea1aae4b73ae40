"""Requests of sessions, written out: a loss, an optimizer with momentum, Create and Step."""

import secrets

import numpy as np

from chainrule.ir import canonical
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, reduce_sum
from chainrule.ir.graph import Graph
from chainrule.ir.operations import step_digest
from chainrule.ir.tensors import tensor_digest
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.records import Array
from chainrule.wire.tensor import tensors_to_proto

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
