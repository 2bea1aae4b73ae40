"""What a session is, from its Create on: a JSON file that never changes, with its own digest."""

import hashlib
import json
from dataclasses import dataclass

from chainrule.errors import CorruptCheckpoint
from chainrule.ir.avals import Aval, DType
from chainrule_server.sessions.layout import StateLayout, layout_of
from chainrule_server.sessions.types import Durability, NonFinitePolicy, NumericsMode

VERSION = 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """The frozen part of a session.

    Attributes:
        request_id, digest: of its Create, which is answered again.
        chain: C_0.
        created_at: seconds since the epoch of UNIX.
        numerics_id: the one asked for when pinned, otherwise the one it began with.
        window: operations held or applied at once.
        frozen: as given; trained: the parameters with a gradient.
        leaves: names and avals of params/.., buffers/.. and state/.., by name.
        init, update: digests of the optimizer's graphs.
        graphs: digests of the loss graphs that came with Create.
        parent, parent_seq: the session that it was forked from, and the operation after which.
    """

    session_id: bytes
    request_id: bytes
    digest: bytes
    chain: bytes
    name: str
    created_at: float
    seed: int
    microshard_rows: int
    durability: Durability
    numerics: NumericsMode
    numerics_id: bytes
    non_finite: NonFinitePolicy
    window: int
    frozen: tuple[str, ...]
    trained: tuple[str, ...]
    leaves: tuple[tuple[str, Aval], ...]
    init: bytes
    update: bytes
    graphs: tuple[bytes, ...]
    parent: bytes = b""
    parent_seq: int = 0

    @property
    def layout(self) -> StateLayout:
        """Where each leaf lies in a buffer."""
        return layout_of(self.leaves)

    @property
    def gradients(self) -> tuple[tuple[str, Aval], ...]:
        """Names and avals of accumulated gradients, grads/.., one for each trained parameter."""
        avals = self.avals
        return tuple((f"grads{n.removeprefix('params')}", avals[n]) for n in self.trained)

    @property
    def grown_layout(self) -> StateLayout:
        """The layout with room for gradients; the other leaves lie where they lay."""
        return layout_of(self.gradients, self.layout)

    @property
    def avals(self) -> dict[str, Aval]:
        """Aval by leaf name."""
        return dict(self.leaves)

    def encode(self) -> bytes:
        """The file."""
        body = {
            "version": VERSION,
            "session_id": self.session_id.hex(),
            "request_id": self.request_id.hex(),
            "digest": self.digest.hex(),
            "chain": self.chain.hex(),
            "name": self.name,
            "created_at": self.created_at,
            "seed": self.seed,
            "microshard_rows": self.microshard_rows,
            "durability": self.durability.name,
            "numerics": self.numerics.name,
            "numerics_id": self.numerics_id.hex(),
            "non_finite": self.non_finite.name,
            "window": self.window,
            "frozen": self.frozen,
            "trained": self.trained,
            "leaves": [[name, aval.dtype.label, aval.dims] for name, aval in self.leaves],
            "init": self.init.hex(),
            "update": self.update.hex(),
            "graphs": [digest.hex() for digest in self.graphs],
            "parent": self.parent.hex(),
            "parent_seq": self.parent_seq,
        }
        text = json.dumps(body)
        return json.dumps({"sha256": _sha256(text), "manifest": text}, indent=1).encode() + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """The manifest of a file.

    Raises:
        CorruptCheckpoint: it is damaged, or of a version that this server doesn't read.
    """
    try:
        outer = json.loads(data)
        if _sha256(outer["manifest"]) != outer["sha256"]:
            raise CorruptCheckpoint("its manifest is damaged", cure="restore a backup")
        body = json.loads(outer["manifest"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptCheckpoint("its manifest is damaged", cure="restore a backup") from error
    if body["version"] != VERSION:
        raise CorruptCheckpoint(
            f"its manifest has version {body['version']}, not {VERSION}",
            cure="use the version of chainrule that wrote it",
        )
    return Manifest(
        session_id=bytes.fromhex(body["session_id"]),
        request_id=bytes.fromhex(body["request_id"]),
        digest=bytes.fromhex(body["digest"]),
        chain=bytes.fromhex(body["chain"]),
        name=body["name"],
        created_at=body["created_at"],
        seed=body["seed"],
        microshard_rows=body["microshard_rows"],
        durability=Durability[body["durability"]],
        numerics=NumericsMode[body["numerics"]],
        numerics_id=bytes.fromhex(body["numerics_id"]),
        non_finite=NonFinitePolicy[body["non_finite"]],
        window=body["window"],
        frozen=tuple(body["frozen"]),
        trained=tuple(body["trained"]),
        leaves=tuple((n, Aval(DType[d.upper()], tuple(dims))) for n, d, dims in body["leaves"]),
        init=bytes.fromhex(body["init"]),
        update=bytes.fromhex(body["update"]),
        graphs=tuple(map(bytes.fromhex, body["graphs"])),
        # Not there in manifests of before forks were served.
        parent=bytes.fromhex(body.get("parent", "")),
        parent_seq=body.get("parent_seq", 0),
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
