"""GetInfo: what this server is and allows."""

import hashlib
import time
from dataclasses import dataclass
from importlib.metadata import version

from chainrule.calls import (
    CHUNK_BYTES,
    CURSOR_BYTES,
    GRAPH_BYTES,
    MAX_DEADLINE_S,
    MESSAGE_BYTES,
)
from chainrule.ir.avals import MAX_DIM, MAX_RANK, DType
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.limits import MAX_CONSTANT_BYTES
from chainrule.ir.primitives import PRIMITIVES
from chainrule.ir.signature import Signature
from chainrule.proto.v1 import server_pb2 as pb
from chainrule.wire.graph import FORMAT_VERSION
from chainrule.wire.records import Numerics
from chainrule.wire.reports import numerics_to_proto
from chainrule_server.door.door import Bounds
from chainrule_server.door.request import Request

SESSION_WINDOW = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """Of this process.

    Attributes:
        instance_id: 16 random bytes.
        boot_id: 16 bytes of the machine's boot.
        started: monotonic seconds.
        workers: processes of the pool.
        is_private: started by a client for itself.
        numerics: what results here depend on.
        object_quota_bytes: of stored objects a tenant may have.
    """

    instance_id: bytes
    boot_id: bytes
    started: float
    workers: int
    is_private: bool
    numerics: Numerics
    object_quota_bytes: int


class ServerServicer:
    """`chainrule.v1.ServerService`.

    Args:
        identity: of this process.
        bounds: that the door holds.
        computations: the requests that Compute serves, by name.
    """

    def __init__(self, identity: Identity, bounds: Bounds, computations: tuple[str, ...]) -> None:
        self._identity = identity
        self._bounds = bounds
        self._computations = computations

    def get_info(self, request: Request[pb.GetInfoRequest]) -> pb.GetInfoResponse:
        """What the server is and allows."""
        del request
        identity = self._identity
        return pb.GetInfoResponse(
            version=version("chainrule"),
            protocol_min=FORMAT_VERSION,
            protocol_max=FORMAT_VERSION,
            primitives_digest=primitives_digest(),
            primitives=sorted(PRIMITIVES),
            functions=[
                pb.LibraryFunction(name=name, version=function.version)
                for name, function in sorted(FUNCTIONS.items())
            ],
            dtypes=[f"D_TYPE_{dtype.name}" for dtype in DType],
            limits=self._limits(),
            durabilities=["DURABILITY_MEMORY", "DURABILITY_PROCESS", "DURABILITY_DISK"],
            workers=identity.workers,
            uptime_seconds=time.monotonic() - identity.started,
            instance_id=identity.instance_id,
            boot_id=identity.boot_id,
            numerics=numerics_to_proto(identity.numerics),
            computations=self._computations,
            private=identity.is_private,
        )

    def _limits(self) -> pb.ServerLimits:
        return pb.ServerLimits(
            graph_bytes=GRAPH_BYTES,
            graph_nodes=self._bounds.graph.nodes,
            nesting=self._bounds.graph.nesting,
            rank=MAX_RANK,
            dim=MAX_DIM,
            message_bytes=MESSAGE_BYTES,
            chunk_bytes=CHUNK_BYTES,
            inline_constant_bytes=MAX_CONSTANT_BYTES,
            client_cursor_bytes=CURSOR_BYTES,
            deadline_seconds=MAX_DEADLINE_S,
            reserved_bytes=self._bounds.nbytes,
            object_bytes=self._identity.object_quota_bytes,
            max_inflight=SESSION_WINDOW,
        )


def primitives_digest() -> bytes:
    """SHA-256 of the vocabulary: a line an op, `Name arity attr:kind,..`, sorted."""
    lines = [_line(s) for s in PRIMITIVES.values()]
    lines += [f"{_line(f.signature)} v{f.version}" for f in FUNCTIONS.values()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).digest()


def _line(signature: Signature) -> str:
    attrs = ",".join(f"{a.name}:{a.kind}" for a in signature.attrs)
    arity = "+" if signature.arity is None else str(signature.arity)
    return f"{signature.name} {arity} {attrs}"
