"""New sessions, and sessions opened again."""

import re
import secrets
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.calls import CREATE, OPEN
from chainrule.errors import ErrorCode, GraphError
from chainrule.gradients import Gradients
from chainrule.ir.avals import DType
from chainrule.lossgraphs import Known, Loss, LossGraphs
from chainrule.objects import Objects
from chainrule.optim import Optimizer, trace_optimizer
from chainrule.options import whole_number
from chainrule.prepared import check_callable
from chainrule.proto.v1 import session_pb2 as pb
from chainrule.results import DURABILITIES
from chainrule.session import Session
from chainrule.tracing import Graph, spec
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.transport import Transport
from chainrule.wire.graph import debug_to_proto, graph_to_proto
from chainrule.wire.sessions import head_from_proto

_NON_FINITE = {"error": 1, "skip": 2, "apply": 3}
_ID = re.compile(r"[0-9a-f]{32}\Z")


def create_session(
    transport: Transport,
    objects: Objects,
    gradients: Gradients,
    loss: Loss,
    params: Any,
    *,
    optimizer: Optimizer,
    buffers: Any = None,
    frozen: Sequence[str] = (),
    seed: int = 0,
    microshard: int | None = None,
    durability: str = "process",
    on_nonfinite: str = "error",
    name: str | None = None,
    example: Any = None,
    timeout_s: float = 60.0,
) -> Session:
    """A new session; see `Client.create_session`.

    Args:
        transport, objects, gradients: of the client.
        loss: the function, or a `cr.Graph` of it with a session's names.
        params: first parameters.
        optimizer: `cr.optim.adam(1e-3)` and the like.
        buffers: state that is not trained, as batch norm's averages.
        frozen: names of parameters that are not trained, `W1` or `encoder` for all below it.
        seed: of random draws and of the order of data in `fit`.
        microshard: rows of one microshard; None: the table of the release.
        durability: what an acknowledged step survives: "memory" the end of client and workers, "process"
            that of the server too, "disk" loss of power.
        on_nonfinite: what a NaN or an infinity does: "error" refuses the step, "skip" counts it without
            an update, "apply" applies it.
        name: to open the session by; unique for a token.
        example: a batch, to trace the loss now and not at the first step.
        timeout_s: of this call, and of the session's calls that name none.

    Raises:
        NameTaken: another session has the name.
        TraceError: the loss (with example) or the optimizer can't be traced.
    """
    if not isinstance(loss, Graph):
        check_callable(loss)
    if not isinstance(optimizer, Optimizer):
        raise GraphError(
            f"optimizer is {optimizer!r}, which is no cr.optim.Optimizer",
            code=ErrorCode.BAD_FIELD,
            field="optimizer",
            cure="pass cr.optim.adam(1e-3), another of cr.optim, or cr.optim.custom(init, update)",
        )
    deadline = time.monotonic() + timeout_s
    params = _as_arrays(params, "params")
    buffers = None if buffers is None else _as_arrays(buffers, "buffers")
    frozen_names = _frozen(params, frozen)
    init, update = trace_optimizer(optimizer, _trained(params, frozen_names))
    graphs = LossGraphs(loss, _specs(params), None if buffers is None else _specs(buffers))
    refs = []
    if example is not None:
        batch = tuple(example) if isinstance(example, tuple | list) else (example,)
        graph = graphs.trace(batch, True)
        gradients.upload_captures(graph, deadline)
        graphs.add(batch, True, Known(bytes.fromhex(graph.digest), graph))
        refs.append(_ref(graph))
    request = pb.CreateRequest(
        session_id=secrets.token_bytes(16),
        request_id=secrets.token_bytes(16),
        graphs=refs,
        optimizer=pb.OptimizerGraphs(init=_ref(init), update=_ref(update)),
        params=objects.to_proto(dict(leaves_of(params, "params")), deadline=deadline),
        buffers=objects.to_proto(
            dict(leaves_of(buffers, "buffers")) if buffers is not None else {}, deadline=deadline
        ),
        frozen=frozen_names,
        seed=whole_number(seed, "seed"),
        microshard_rows=0 if microshard is None else whole_number(microshard, "microshard", 1),
        durability=pb.Durability.Name(_choice(DURABILITIES, durability, "durability")),
        non_finite=pb.NonFinitePolicy.Name(_choice(_NON_FINITE, on_nonfinite, "on_nonfinite")),
        name=name or "",
    )
    for optimizer_graph in (init, update):
        gradients.upload_captures(optimizer_graph, deadline)
    reply = transport.call(CREATE, request, deadline - time.monotonic())
    head = head_from_proto(reply.head)
    return Session(transport, objects, gradients, head, graphs, timeout_s=timeout_s)


def open_session(
    transport: Transport,
    objects: Objects,
    gradients: Gradients,
    id_or_name: str,
    *,
    loss: Loss | None = None,
    timeout_s: float = 60.0,
) -> Session:
    """An existing session; see `Client.open_session`.

    Args:
        transport, objects, gradients: of the client.
        id_or_name: as `session.id` or `session.name` has it.
        loss: only needed for batches of another form than those it was trained on.
        timeout_s: of this call, and of the session's calls that name none.

    Raises:
        NotFound: no such session.
    """
    is_id = bool(_ID.match(id_or_name))
    request = pb.OpenRequest(
        session_id=bytes.fromhex(id_or_name) if is_id else b"",
        name="" if is_id else id_or_name,
        request_id=secrets.token_bytes(16),
    )
    head = head_from_proto(transport.call(OPEN, request, timeout_s).head)
    graphs = LossGraphs(loss)
    session = Session(transport, objects, gradients, head, graphs, timeout_s=timeout_s)
    if loss is not None:
        session.load_structure()
    return session


def _as_arrays(tree: Any, what: str) -> Any:
    leaves = leaves_of(tree, what)
    if not leaves:
        raise GraphError(
            f"{what} holds no array",
            code=ErrorCode.MISSING_FIELD,
            cure="give nested dicts, lists and tuples of arrays",
        )
    arrays = []
    for _, leaf in leaves:
        array = np.asarray(leaf)
        arrays.append(np.ascontiguousarray(array, DType.of(array.dtype).numpy).reshape(array.shape))
    return rebuild(tree, arrays)


def _specs(tree: Any) -> Any:
    return rebuild(tree, [spec(a.shape, a.dtype) for _, a in leaves_of(tree, "leaf")])


def _frozen(params: Any, frozen: Sequence[str]) -> tuple[str, ...]:
    names = [name for name, _ in leaves_of(params, "params")]
    found: dict[str, None] = {}
    for wanted in (frozen,) if isinstance(frozen, str) else frozen:
        path = wanted if wanted.split("/")[0] == "params" else f"params/{wanted}"
        below = [n for n in names if n == path or n.startswith(path + "/")]
        if not below:
            raise GraphError(
                f"frozen names {wanted!r}, and there is no such parameter",
                code=ErrorCode.BAD_NAME,
                field="frozen",
                cure=f"name one of {', '.join(n.removeprefix('params/') for n in names[:8])}",
            )
        found |= dict.fromkeys(below)
    return tuple(found)


def _trained(params: Any, frozen: Sequence[str]) -> Any:
    """The parameters that the optimizer sees: None in place of frozen ones and of integers."""
    leaves = [
        None if name in frozen or not DType.of(array.dtype).is_float else array
        for name, array in leaves_of(params, "params")
    ]
    return rebuild(params, leaves)


def _ref(graph: Graph) -> pb.GraphRef:
    return pb.GraphRef(graph=graph_to_proto(graph.graph), debug=debug_to_proto(graph.graph))


def _choice(choices: dict[str, int], wanted: str, what: str) -> int:
    if wanted not in choices:
        raise GraphError(
            f"{what} {wanted!r}",
            code=ErrorCode.BAD_FIELD,
            field=what,
            cure=f"choose one of {', '.join(choices)}",
        )
    return choices[wanted]
