"""Graphs that have been checked, by tenant and digest; every other room takes a graph only from here."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass

from chainrule.errors import ErrorCode, GraphError, NotFound
from chainrule.ir import canonical
from chainrule.ir.checker import check
from chainrule.ir.graph import Graph
from chainrule.ir.limits import Limits
from chainrule.proto.v1 import graph_pb2 as pb
from chainrule.wire.graph import graph_from_proto
from chainrule.wire.tensor import check_digest

# A graph in memory takes about this many times its bytes on the wire.
_GROWTH = 10
# The same graph comes with other labels and lines each time its source is edited.
_MESSAGES_KEPT = 4


@dataclass(frozen=True, slots=True)
class Known:
    """A checked graph.

    Attributes:
        graph: with the labels and lines of whoever sent it last.
        digest: 32 bytes, the identity.
        nbytes: what keeping it takes, about.
    """

    graph: Graph
    digest: bytes
    nbytes: int


class _Shelf:
    """One tenant's graphs, longest unused first."""

    def __init__(self) -> None:
        self.by_digest: OrderedDict[bytes, Known] = OrderedDict()
        # From the hash of the bytes sent, so that the same message is checked once.
        self.by_message: dict[bytes, Known] = {}
        self.messages: dict[bytes, list[bytes]] = {}
        self.nbytes = 0


class GraphStore:
    """Checked graphs of all tenants.

    Args:
        limits: of a graph.
        tenant_bytes: kept for one tenant; the longest unused goes first, and only its own.
    """

    def __init__(self, limits: Limits, tenant_bytes: int = 256 * 2**20) -> None:
        self._limits = limits
        self._tenant_bytes = tenant_bytes
        self._lock = threading.Lock()
        self._shelves: dict[str, _Shelf] = {}

    def register(self, tenant: str, message: pb.Graph, debug: pb.Debug) -> Known:
        """Check a graph and keep it.

        Raises:
            GraphError: it is none, with the node, its label and line.
        """
        sent = message.SerializeToString(deterministic=True)
        beside = debug.SerializeToString(deterministic=True)
        key = hashlib.sha256(len(sent).to_bytes(8, "little") + sent + beside).digest()
        with self._lock:
            found = self._shelf(tenant).by_message.get(key)
            if found is not None:
                self._shelf(tenant).by_digest.move_to_end(found.digest)
                return found
        graph = graph_from_proto(message, debug)
        check(graph, self._limits)
        known = Known(graph, canonical.digest(graph), _GROWTH * (len(sent) + len(beside)))
        with self._lock:
            self._keep(self._shelf(tenant), key, known)
        return known

    def get(self, tenant: str, digest: bytes, field: str = "graph_digest") -> Known:
        """A registered graph.

        Raises:
            NotFound: this tenant has none by that digest, or it was not used for long
                (OBJECT_MISSING, with the digest in `missing`).
        """
        check_digest(digest, field)
        with self._lock:
            found = self._shelf(tenant).by_digest.get(digest)
            if found is None:
                raise NotFound(
                    f"no graph {digest.hex()}",
                    code=ErrorCode.OBJECT_MISSING,
                    field=field,
                    cure="register it, then send the same request again",
                    missing=(digest,),
                )
            self._shelf(tenant).by_digest.move_to_end(digest)
            return found

    def find(self, tenant: str, digest: bytes) -> Graph | None:
        """A registered graph, None where this tenant has none by that digest."""
        with self._lock:
            found = self._shelf(tenant).by_digest.get(digest)
            return found.graph if found else None

    def of(
        self, tenant: str, graph: pb.Graph | None, digest: bytes, debug: pb.Debug, field: str
    ) -> Known:
        """The graph of a request that sends it or names it.

        Raises:
            GraphError: it does neither (MISSING_FIELD).
        """
        if graph is not None:
            return self.register(tenant, graph, debug)
        if not digest:
            raise GraphError(
                "neither a graph nor the digest of one",
                code=ErrorCode.MISSING_FIELD,
                field=field,
                cure="send graph, or the digest that Register gave",
            )
        return self.get(tenant, digest, field)

    def _shelf(self, tenant: str) -> _Shelf:
        return self._shelves.setdefault(tenant, _Shelf())

    def _keep(self, shelf: _Shelf, key: bytes, known: Known) -> None:
        before = shelf.by_digest.pop(known.digest, None)
        shelf.nbytes += known.nbytes - (before.nbytes if before else 0)
        shelf.by_digest[known.digest] = known
        shelf.by_message[key] = known
        messages = shelf.messages.setdefault(known.digest, [])
        messages.append(key)
        if len(messages) > _MESSAGES_KEPT:
            del shelf.by_message[messages.pop(0)]
        while shelf.nbytes > self._tenant_bytes and len(shelf.by_digest) > 1:
            digest, gone = shelf.by_digest.popitem(last=False)
            shelf.nbytes -= gone.nbytes
            for message in shelf.messages.pop(digest):
                del shelf.by_message[message]
