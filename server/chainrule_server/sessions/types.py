"""What goes into a session and what comes out, as the protocol names it.

The service converts messages to these and back. `registry.SessionRegistry` serves them:

    create(caller, CreateSpec) -> CreateReply        idempotent by request id
    open(caller, OpenSpec) -> Head                   raises the epoch; idempotent by request id
    apply(caller, OpHeader, bodies.Body) -> OpReply  exactly once, in the order of seq
    evaluate(caller, EvaluateSpec) -> EvaluateReply  any graph over the state; also Predict
    get_state(caller, StateSpec) -> StateReply
    list(caller) -> tuple[Head, ...]
    drain(deadline), close()

Errors are those of `chainrule.errors`, with the codes that docs/sessions.md lists by rule. Facts for the
error detail: next_seq, chain, epoch, failed_seq, cursor, missing, limit, value.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from chainrule.ir.graph import Graph
from chainrule_server.workers.cancellation import Cancellation

Array = np.ndarray[Any, np.dtype[Any]]


class Durability(IntEnum):
    """What an acknowledged operation survives. Numbers are those of the protocol."""

    MEMORY = 1
    PROCESS = 2
    DISK = 3


class NumericsMode(IntEnum):
    """Which kernels may serve a session. Numbers are those of the protocol."""

    NATIVE = 1
    PORTABLE = 2
    PINNED = 3


class NonFinitePolicy(IntEnum):
    """What a NaN or an infinity in loss or gradient does. Numbers are those of the protocol."""

    ERROR = 1
    SKIP = 2
    APPLY = 3


class ReceiptMode(IntEnum):
    """What a reply proves. Numbers are those of the protocol."""

    NONE = 1
    CHAIN = 2
    FULL = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and until when.

    Attributes:
        tenant: the owner of the ids and names that follow.
        deadline: `time.monotonic()` at which the answer is no longer wanted.
        cancel: set when the caller has gone away.
    """

    tenant: str
    deadline: float
    cancel: Cancellation = field(default_factory=Cancellation)


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """A tensor that lies in the object store, by its digest (32 bytes)."""

    digest: bytes


@dataclass(frozen=True, slots=True)
class BatchRef:
    """Rows of an uploaded data set."""

    dataset: bytes
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NamedTensor:
    """A leaf: its name, `params/W1`, and the array or where it lies."""

    name: str
    value: Array | ObjectRef


@dataclass(frozen=True, slots=True)
class OptimizerGraphs:
    """init: params/.. -> state/..; update: grads/.. state/.. params/.. step -> updates/.. state/.."""

    init: Graph
    update: Graph


@dataclass(frozen=True, slots=True, eq=False)
class CreateSpec:
    """A new session. The id is the client's 16 random bytes; frozen names parameters, `params/b`."""

    session_id: bytes
    request_id: bytes
    optimizer: OptimizerGraphs
    params: tuple[NamedTensor, ...]
    graphs: tuple[Graph, ...] = ()
    buffers: tuple[NamedTensor, ...] = ()
    frozen: tuple[str, ...] = ()
    seed: int = 0
    microshard_rows: int = 0
    durability: Durability = Durability.PROCESS
    numerics: NumericsMode = NumericsMode.NATIVE
    numerics_id: bytes = b""
    non_finite: NonFinitePolicy = NonFinitePolicy.ERROR
    name: str = ""
    max_inflight: int = 0


@dataclass(frozen=True, slots=True)
class LastSeen:
    """The last operation whose reply the client has seen."""

    seq: int
    chain: bytes


@dataclass(frozen=True, slots=True)
class OpenSpec:
    """Take the session over. By id, or by name where the id is empty. expected_epoch 0: whatever it is."""

    session_id: bytes
    request_id: bytes
    name: str = ""
    expected_epoch: int = 0
    last_seen: LastSeen | None = None


@dataclass(frozen=True, slots=True)
class ForkSpec:
    """A session that begins where another stands (at_seq 0) or stood; child_id is the client's."""

    request_id: bytes
    parent_id: bytes
    child_id: bytes
    at_seq: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class OpHeader:
    """Identity and order of one mutating operation."""

    session_id: bytes
    epoch: int
    seq: int
    prev: bytes
    request_id: bytes
    digest: bytes
    client_cursor: bytes = b""
    receipts: ReceiptMode = ReceiptMode.NONE


@dataclass(frozen=True, slots=True, eq=False)
class EvaluateSpec:
    """Any graph over params/.. buffers/.. batch/<i>/..; None: the session's first.

    Attributes:
        examples: N; 0: taken from the batch.
        seed: of random draws.
        after_seq: wait until this operation is applied; 0: the state as it stands.
    """

    session_id: bytes
    graph: Graph | bytes | None = None
    batch: tuple[NamedTensor, ...] = ()
    batch_ref: BatchRef | None = None
    examples: int = 0
    seed: int = 0
    after_seq: int = 0


@dataclass(frozen=True, slots=True)
class StateSpec:
    """Leaves to read: names or their beginnings, `params`, `state/m`; empty: everything."""

    session_id: bytes
    prefixes: tuple[str, ...] = ()
    after_seq: int = 0


@dataclass(frozen=True, slots=True)
class Resources:
    """What an operation took. Bytes are the plan's, of one microshard."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    flops: float = 0.0
    flops_is_bound: bool = False
    peak_bytes: int = 0
    workers_used: int = 0
    blocks_redone: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """A digest that a replay must find again."""

    name: str
    digest: bytes
    scheme: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something true and worth knowing that is no error."""

    kind: str
    text: str
    function: str = ""
    node: int | None = None
    label: str = ""
    source_line: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class OpReply:
    """What an applied operation answers; stored in the log with it.

    Attributes:
        step: optimizer updates so far, this one included.
        chain: C_seq.
        grad_norms: Euclidean norms by parameter name.
        finite: loss and gradients have no NaN and no infinity.
        durable_seq: the last operation that survives loss of power.
        microshard_rows: of the program as it was run; 0 where it was not split.
    """

    seq: int
    step: int
    epoch: int
    chain: bytes
    replayed: bool = False
    loss: float | None = None
    grad_norm: float | None = None
    grad_norms: tuple[tuple[str, float], ...] = ()
    finite: bool = True
    metrics: tuple[tuple[str, Array], ...] = ()
    resources: Resources = Resources()
    receipts: tuple[Receipt, ...] = ()
    durability_reached: Durability = Durability.PROCESS
    durable_seq: int = 0
    numerics_id: bytes = b""
    notices: tuple[Notice, ...] = ()
    microshard_rows: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """A session as it stands. state_digest is empty where it would have to be computed (List)."""

    session_id: bytes
    name: str
    epoch: int
    next_seq: int
    step: int
    chain: bytes
    client_cursor: bytes
    state_digest: bytes
    max_inflight: int
    durability: Durability
    numerics_id: bytes
    durable_seq: int
    graph_digests: tuple[bytes, ...]
    non_finite: NonFinitePolicy
    seed: int
    microshard_rows: int
    frozen: tuple[str, ...]
    created_at: float
    closed: bool = False
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class CreateReply:
    """The head after Create, and whether Create had been applied before."""

    head: Head
    replayed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class EvaluateReply:
    """Every output of the graph, and the operation after which the state was read."""

    outputs: tuple[tuple[str, Array], ...]
    seq: int
    step: int
    finite: bool
    resources: Resources = Resources()
    notices: tuple[Notice, ...] = ()
    microshard_rows: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class StateReply:
    """Copies of the leaves asked for, in order of name, and the head they belong to."""

    tensors: tuple[tuple[str, Array], ...]
    head: Head
