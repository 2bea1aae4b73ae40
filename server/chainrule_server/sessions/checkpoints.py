"""A tenant's checkpoints: snapshots by digest, and names for them.

    <digest>/          a snapshot
    names/<hash>       which snapshot a name means, and who saved it

A name is written after its snapshot is whole, and never means another one.
"""

import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from chainrule.errors import CorruptCheckpoint, ErrorCode, NameTaken, NotFound, Overloaded
from chainrule.ir.tensors import Array
from chainrule_server.sessions.snapshot import (
    UNFINISHED,
    Content,
    read_content,
    read_leaves,
    write_snapshot,
)
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.failures import translated
from chainrule_server.storage.files import read_file, remove_tree, replace_file


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A snapshot under a name.

    Attributes:
        digest: of the snapshot.
        session_id, seq: the session that saved it, and the operation before the Save.
        created_at: seconds since the epoch of UNIX.
    """

    digest: bytes
    name: str
    session_id: bytes
    seq: int
    step: int
    cursor: bytes
    nbytes: int
    numerics_id: bytes
    created_at: float

    def encode(self) -> bytes:
        """The file of its name."""
        body = {k: v.hex() if isinstance(v, bytes) else v for k, v in asdict(self).items()}
        text = json.dumps(body)
        return json.dumps({"sha256": _sha256(text), "checkpoint": text}).encode() + b"\n"


class Checkpoints:
    """Checkpoints of one tenant. Thread-safe.

    Args:
        path: their folder.
        disk: where it lies.
        limit_bytes: of all tensors together (QUOTA).
    """

    def __init__(self, path: Path, disk: Disk, limit_bytes: int) -> None:
        self._path = path
        self._disk = disk
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._known: dict[str, Checkpoint] | None = None

    def save(
        self, checkpoint: Checkpoint, content: Content, read: Callable[[str], Array]
    ) -> Checkpoint:
        """Keep a snapshot under a name, durably. The same content again is no error.

        Raises:
            NameTaken: the name means another content.
            Overloaded: the tenant has as many bytes of checkpoints as it may (QUOTA), or STORAGE_FULL.
        """
        with self._lock, translated("saving the checkpoint"):
            known = self._load()
            taken = known.get(checkpoint.name)
            if taken is not None and taken.digest != checkpoint.digest:
                raise NameTaken(
                    f"the checkpoint {checkpoint.name} holds the state of step {taken.step}"
                    f" of session {taken.session_id.hex()[:8]}",
                    field="name",
                    cure="save under another name",
                )
            if taken is not None:
                return taken
            self._check_room(known, checkpoint)
            write_snapshot(self._disk, self._path / checkpoint.digest.hex(), content, read)
            names = self._path / "names"
            self._disk.make_folder(names)
            replace_file(self._disk, names / _file_of(checkpoint.name), checkpoint.encode())
            known[checkpoint.name] = checkpoint
            return checkpoint

    def find(self, digest: bytes) -> Checkpoint:
        """A checkpoint by its digest; the first by name where several have it.

        Raises:
            NotFound: this tenant has none by that digest.
        """
        for checkpoint in self.listed():
            if checkpoint.digest == digest:
                return checkpoint
        raise NotFound(
            f"no checkpoint {digest.hex()[:16]}", cure="list the checkpoints and take one of those"
        )

    def named(self, name: str, digest: bytes) -> Checkpoint:
        """The checkpoint that a Save has answered with."""
        with self._lock, translated("reading the checkpoint"):
            found = self._load().get(name)
        return found if found is not None and found.digest == digest else self.find(digest)

    def listed(self) -> tuple[Checkpoint, ...]:
        """All, by name."""
        with self._lock, translated("listing the checkpoints"):
            return tuple(sorted(self._load().values(), key=lambda c: c.name))

    def content(self, digest: bytes) -> Content:
        """What a checkpoint is.

        Raises:
            NotFound: there is none.
            CorruptCheckpoint: its manifest is damaged.
        """
        self.find(digest)
        with translated("reading the checkpoint"):
            try:
                content = read_content(self._disk, self._path / digest.hex())
            except FileNotFoundError:
                raise CorruptCheckpoint("the checkpoint's manifest is missing") from None
        if content.digest != digest:
            raise CorruptCheckpoint("the checkpoint's manifest is another one's")
        return content

    def leaves(self, content: Content, take: Callable[[str, Array], None]) -> None:
        """Every tensor of a checkpoint, proven first; see `snapshot.read_leaves`."""
        with translated("reading the checkpoint"):
            read_leaves(self._disk, self._path / content.digest.hex(), content, take)

    def _load(self) -> dict[str, Checkpoint]:
        if self._known is None:
            names = self._path / "names"
            for name in self._disk.names(self._path):
                if name.startswith(UNFINISHED):
                    remove_tree(self._disk, self._path / name)
            found = [_decode(read_file(self._disk, names / n)) for n in self._disk.names(names)]
            self._known = {c.name: c for c in found if c is not None}
        return self._known

    def _check_room(self, known: dict[str, Checkpoint], new: Checkpoint) -> None:
        held = {c.digest: c.nbytes for c in known.values()}
        total = sum((held | {new.digest: new.nbytes}).values())
        if total > self._limit_bytes:
            raise Overloaded(
                f"checkpoints of {total} bytes pass the quota of {self._limit_bytes}",
                code=ErrorCode.QUOTA,
                cure="ask the operator for room, or save less often",
                limit=self._limit_bytes,
                value=total,
            )


def checkpoint_of(
    content: Content, name: str, session_id: bytes, seq: int, created_at: float
) -> Checkpoint:
    """The checkpoint that a session saves."""
    return Checkpoint(
        digest=content.digest,
        name=name,
        session_id=session_id,
        seq=seq,
        step=content.step,
        cursor=content.cursor,
        nbytes=content.nbytes,
        numerics_id=content.numerics_id,
        created_at=created_at,
    )


def _decode(data: bytes) -> Checkpoint | None:
    """The checkpoint of a name's file; None where that is damaged: the name is then free again."""
    try:
        outer = json.loads(data)
        body: dict[str, Any] = json.loads(outer["checkpoint"])
        if _sha256(outer["checkpoint"]) != outer["sha256"]:
            return None
        hexes = ("digest", "session_id", "cursor", "numerics_id")
        fields: dict[str, Any] = {k: bytes.fromhex(v) if k in hexes else v for k, v in body.items()}
        return Checkpoint(**fields)
    except (ValueError, KeyError, TypeError):
        return None


def _file_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
