"""A registry over a folder, and a client of it that numbers, chains and digests its operations."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chainrule.ir import canonical
from chainrule.ir.graph import Graph
from chainrule.ir.operations import close_digest, next_chain, step_digest
from chainrule.ir.tensors import Array, tensor_digest
from chainrule_server.sessions.bodies import (
    Body,
    CloseBody,
    DiscardGradientsBody,
    ForwardBackwardBody,
    OptimStepBody,
    RestoreBody,
    SaveBody,
    SetStateBody,
    StepBody,
)
from chainrule_server.sessions.digests import body_digest
from chainrule_server.sessions.failpoints import Failpoints
from chainrule_server.sessions.limits import SessionLimits
from chainrule_server.sessions.registry import SessionRegistry
from chainrule_server.sessions.runner import Runner, StepCompiler
from chainrule_server.sessions.types import (
    Caller,
    CreateSpec,
    Durability,
    ForkSpec,
    Head,
    NamedTensor,
    NonFinitePolicy,
    OpenSpec,
    OpHeader,
    OpReply,
    OptimizerGraphs,
    StateSpec,
)
from chainrule_server.storage.disk import Disk, LinuxDisk
from chainrule_server.storage.folder import DataFolder, Owner
from chainrule_server.storage.objects import ObjectStore
from support.small_model import SmallEngine, init_graph, loss_graph, update_graph

OWNER = Owner(os.getpid(), "2026-01-01T00:00:00", "test")
LOSS = loss_graph()
LOSS_DIGEST = canonical.digest(LOSS)


def session_id(text: str) -> bytes:
    """An id from a word."""
    return hashlib.sha256(text.encode()).digest()[:16]


def batch(i: int, n: int = 4) -> tuple[Array, Array]:
    """The i-th batch of a fixed stream."""
    random = np.random.default_rng(i)
    return random.standard_normal((n, 3)), random.standard_normal((n, 1))


def caller(tenant: str = "tenant", timeout_s: float = 30.0) -> Caller:
    return Caller(tenant, time.monotonic() + timeout_s)


def create_spec(word: str = "a", **changes: object) -> CreateSpec:
    fields: dict[str, object] = {
        "session_id": session_id(word),
        "request_id": session_id(word + " create"),
        "optimizer": OptimizerGraphs(init_graph(), update_graph()),
        "params": (
            NamedTensor("params/w", np.array([[0.5], [-0.25], [0.125]])),
            NamedTensor("params/b", np.array(0.0)),
        ),
        "buffers": (NamedTensor("buffers/seen", np.array(0.0)),),
        "graphs": (LOSS,),
    }
    return CreateSpec(**(fields | changes))  # type: ignore[arg-type]


class Scene:
    """A data folder with its object store and registry, as a server would make them."""

    def __init__(
        self,
        path: Path,
        *,
        disk: Disk | None = None,
        limits: SessionLimits | None = None,
        failpoints: Failpoints | None = None,
        boot_id: bytes | None = None,
        compiler: StepCompiler | None = None,
        runner: Runner | None = None,
    ) -> None:
        self.engine = SmallEngine()
        self.registered: dict[bytes, Graph] = {}
        self.disk = disk or LinuxDisk()
        self.folder = DataFolder(path, self.disk, OWNER)
        self.folder.boot_id = boot_id or self.folder.boot_id
        self.objects = ObjectStore(self.folder.of_tenant, self.disk, quota_bytes=1 << 30)
        self.registry = SessionRegistry(
            self.folder,
            self.objects,
            compiler or self.engine,
            runner or self.engine,
            graphs=lambda tenant, digest: self.registered.get(digest),
            limits=limits,
            failpoints=failpoints,
        )

    def create(self, word: str = "a", tenant: str = "tenant", **changes: object) -> "Client":
        reply = self.registry.create(caller(tenant), create_spec(word, **changes))
        return Client(self.registry, reply.head, tenant)

    def fork(self, parent: "Client", word: str, **fields: object) -> "Client":
        spec = ForkSpec(
            session_id(word + " fork"),
            parent.head.session_id,
            session_id(word),
            **fields,  # type: ignore[arg-type]
        )
        reply = self.registry.fork(caller(parent.tenant), spec)
        return Client(self.registry, reply.head, parent.tenant)

    def open(self, word: str = "a", **fields: object) -> "Client":
        spec = OpenSpec(session_id(word), os.urandom(16), **fields)  # type: ignore[arg-type]
        return Client(self.registry, self.registry.open(caller(), spec))

    def end(self) -> None:
        """As SIGKILL would leave it, but for the descriptors: no drain, no sync."""
        self.registry.close()
        self.folder.close()


@dataclass
class Client:
    """The order of operations as a client keeps it."""

    registry: SessionRegistry
    head: Head
    tenant: str = "tenant"
    seq: int = field(init=False)
    chain: bytes = field(init=False)
    epoch: int = field(init=False)

    def __post_init__(self) -> None:
        self.seq, self.chain, self.epoch = self.head.next_seq, self.head.chain, self.head.epoch

    def step_call(
        self, i: int, *, cursor: bytes = b"", graph: bytes = LOSS_DIGEST, **changes: object
    ) -> tuple[OpHeader, StepBody]:
        """Header and body of the next operation, on batch i; doesn't move on."""
        x, y = batch(i)
        body = StepBody(graph, (NamedTensor("batch/0", x), NamedTensor("batch/1", y)))
        named = [("batch/0", tensor_digest(x)), ("batch/1", tensor_digest(y))]
        digest = step_digest(graph, named, cursor=cursor)
        return self._header(digest, cursor, changes), body

    def close_call(self) -> tuple[OpHeader, CloseBody]:
        return self._header(close_digest(), b"", {}), CloseBody()

    def move_on(self, header: OpHeader) -> None:
        """The operation counts: the next one follows it."""
        self.seq, self.chain = header.seq + 1, next_chain(header.prev, header.digest)

    def step(self, i: int, **fields: object) -> OpReply:
        header, body = self.step_call(i, **fields)  # type: ignore[arg-type]
        reply = self.registry.apply(caller(self.tenant), header, body)
        self.move_on(header)
        assert reply.chain == self.chain
        return reply

    def close(self) -> OpReply:
        header, body = self.close_call()
        reply = self.registry.apply(caller(self.tenant), header, body)
        self.move_on(header)
        return reply

    def send(self, body: Body, *, cursor: bytes = b"", **changes: object) -> OpReply:
        """Any operation, as the next one."""
        header = self._header(body_digest(body, cursor), cursor, changes)
        reply = self.registry.apply(caller(self.tenant), header, body)
        self.move_on(header)
        assert reply.chain == self.chain
        return reply

    def forward_backward(
        self, i: int, n: int = 4, weight: float = 1.0, graph: bytes = LOSS_DIGEST
    ) -> OpReply:
        x, y = batch(i, n)
        leaves = (NamedTensor("batch/0", x), NamedTensor("batch/1", y))
        return self.send(ForwardBackwardBody(graph, leaves, weight=weight))

    def optim_step(self) -> OpReply:
        return self.send(OptimStepBody())

    def discard_gradients(self) -> OpReply:
        return self.send(DiscardGradientsBody())

    def set_state(self, **leaves: Array) -> OpReply:
        tensors = tuple(NamedTensor(k.replace("__", "/"), v) for k, v in leaves.items())
        return self.send(SetStateBody(tensors))

    def save(self, name: str, *, cursor: bytes = b"") -> bytes:
        """The digest of the checkpoint."""
        return checkpoint_of(self.send(SaveBody(name), cursor=cursor))

    def restore(self, checkpoint: bytes, *, allow_drift: bool = False) -> OpReply:
        return self.send(RestoreBody(checkpoint, allow_drift))

    def state(self) -> dict[str, Array]:
        spec = StateSpec(self.head.session_id)
        return dict(self.registry.get_state(caller(self.tenant), spec).tensors)

    def _header(self, digest: bytes, cursor: bytes, changes: dict[str, object]) -> OpHeader:
        fields: dict[str, object] = {
            "session_id": self.head.session_id,
            "epoch": self.epoch,
            "seq": self.seq,
            "prev": self.chain,
            "request_id": digest[:16],
            "digest": digest,
            "client_cursor": cursor,
        }
        return OpHeader(**(fields | changes))  # type: ignore[arg-type]


def checkpoint_of(reply: OpReply) -> bytes:
    """The digest that a Save or Restore has answered with."""
    (found,) = [r.digest for r in reply.receipts if r.name == "checkpoint"]
    return found


def undisturbed(path: Path, n: int) -> dict[str, Array]:
    """The state after n steps of a session that nothing happened to."""
    scene = Scene(path)
    client = scene.create("undisturbed")
    for i in range(n):
        client.step(i)
    state = client.state()
    scene.end()
    return state


def equal(a: dict[str, Array], b: dict[str, Array]) -> bool:
    """Every bit of two states."""
    return a.keys() == b.keys() and all(a[k].tobytes() == b[k].tobytes() for k in a)


POLICIES = tuple(NonFinitePolicy)
DURABILITIES = (Durability.MEMORY, Durability.PROCESS, Durability.DISK)
