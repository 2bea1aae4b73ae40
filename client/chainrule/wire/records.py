"""What calls carry beside arrays, as values that neither side has to import the other for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Computation(IntEnum):
    """What to compute of a graph. Numbers are those of the protocol."""

    VALUE = 1
    GRAD = 2
    VJP = 3
    JVP = 4
    HVP = 5
    JACOBIAN = 6
    HESSIAN = 7
    PER_EXAMPLE_GRAD = 8


@dataclass(frozen=True, slots=True, eq=False)
class Wish:
    """One thing to compute.

    Attributes:
        wrt: names of inputs.
        outs: names of outputs; empty means "out".
        directions: cotangents by output, tangents or vectors by input.
        lanes: directions and results carry a leading axis of so many; 0: they are single.
    """

    computation: Computation
    wrt: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    directions: Mapping[str, Array] = field(default_factory=dict)
    lanes: int = 0


@dataclass(frozen=True, slots=True)
class Numerics:
    """Everything that may move a bit of a result."""

    numerics_id: bytes = b""
    microshard_rows: int = 0
    row_tile: int = 0
    kernel_provider: str = ""
    engine_version: str = ""
    numpy_version: str = ""
    blas: str = ""
    core_type: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a call took. Bytes and FLOPs are the plan's."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    flops: float = 0.0
    flops_is_bound: bool = False
    peak_bytes: int = 0
    workers_used: int = 0
    blocks_redone: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something true and worth knowing that is no error."""

    kind: str
    text: str
    function: str = ""
    node: int | None = None
    label: str = ""
    source_line: str = ""


@dataclass(frozen=True, slots=True)
class NodeCost:
    """The share of one node in an estimate."""

    function: str
    node: int
    op: str
    label: str
    source_line: str
    flops: float
    nbytes: int


class Verdict(IntEnum):
    """How a derivative stands to its estimate. Numbers are those of the protocol."""

    AGREES = 1
    DIFFERS = 2
    UNCERTAIN = 3
    NOT_FINITE = 4


@dataclass(frozen=True, slots=True)
class Check:
    """A derivative, and what was found without it.

    Attributes:
        derivative: as the rules give it.
        estimate: from values alone, or from the other direction.
        uncertainty: how far the estimate itself may be off.
        error: relative.
        verdict: what follows.
    """

    derivative: float
    estimate: float
    uncertainty: float
    error: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class VerifiedLeaf:
    """One input: its derivative along a direction against differences of values."""

    name: str
    aval: str
    finite: bool
    check: Check


@dataclass(frozen=True, slots=True)
class VerifiedNode:
    """One node: its tangent against differences, and its rule backwards against its rule forwards."""

    node: int
    op: str
    label: str
    source_line: str
    forward: Check
    adjoint: Check | None


@dataclass(frozen=True, slots=True)
class Header:
    """Identity and order of one operation of a session."""

    session_id: bytes
    epoch: int
    seq: int
    prev: bytes
    request_id: bytes
    digest: bytes
    client_cursor: bytes = b""
    receipts: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """A digest that a replay must find again."""

    name: str
    digest: bytes
    scheme: str


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """The answer to an operation of a session."""

    seq: int
    step: int
    epoch: int
    chain: bytes
    replayed: bool
    loss: float | None
    grad_norm: float | None
    grad_norms: Mapping[str, float]
    finite: bool
    metrics: Mapping[str, Array]
    resources: Resources
    receipts: tuple[Receipt, ...]
    durability_reached: int
    durable_seq: int
    numerics_id: bytes
    notices: tuple[Notice, ...]
    numerics: Numerics


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The whole state of a session after one operation, under a name."""

    digest: bytes
    name: str
    session_id: bytes
    seq: int
    step: int
    client_cursor: bytes
    nbytes: int
    numerics_id: bytes
    created_at: float


@dataclass(frozen=True, slots=True)
class Head:
    """A session as it stands on the server."""

    session_id: bytes
    name: str
    epoch: int
    next_seq: int
    step: int
    chain: bytes
    client_cursor: bytes
    state_digest: bytes
    max_inflight: int
    durability: int
    numerics_id: bytes
    durable_seq: int
    graph_digests: tuple[bytes, ...]
    closed: bool
    non_finite: int
    seed: int
    microshard_rows: int
    frozen: tuple[str, ...]
    numerics: Numerics
    created_at: float
