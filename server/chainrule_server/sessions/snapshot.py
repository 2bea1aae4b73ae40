"""The whole state after one operation, in a folder of its own: tensors, and what they mean.

    state.safetensors   the leaves
    manifest            JSON: content, digest of content

A folder is made beside its place and renamed when everything in it is on the device, so it is there whole or
not at all. Its digest covers the content, which has the digest of every leaf: the same state saved twice is
the same snapshot.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainrule.errors import CorruptCheckpoint
from chainrule.ir.avals import Aval, DType
from chainrule.ir.tensors import Array, tensor_digest
from chainrule_server.sessions.record import NO_GRADIENTS, Pending
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.files import read_file, remove_tree
from chainrule_server.storage.safetensors import read_header, read_tensor, write_tensors

MAGIC = b"chainrule.checkpoint.v1\0"
_VERSION = 1
UNFINISHED = ".new-"


@dataclass(frozen=True, slots=True)
class Leaf:
    """A tensor of a snapshot."""

    name: str
    aval: Aval
    digest: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What a snapshot is; everything that goes into its digest.

    Attributes:
        step, cursor, pending: of the session.
        leaves: by name, accumulated gradients among them.
        init, update: the optimizer's graphs.
        numerics_id: of the server that computed it.
    """

    step: int
    cursor: bytes
    pending: Pending
    leaves: tuple[Leaf, ...]
    init: bytes
    update: bytes
    numerics_id: bytes

    @property
    def nbytes(self) -> int:
        """Of its tensors."""
        return sum(leaf.aval.nbytes for leaf in self.leaves)

    @property
    def text(self) -> str:
        """As the manifest keeps it."""
        p = self.pending
        body = {
            "version": _VERSION,
            "step": self.step,
            "cursor": self.cursor.hex(),
            "pending": [p.count, p.unit, p.total, p.loss] if p.count else None,
            "leaves": [
                [x.name, x.aval.dtype.label, x.aval.dims, x.digest.hex()] for x in self.leaves
            ],
            "init": self.init.hex(),
            "update": self.update.hex(),
            "numerics_id": self.numerics_id.hex(),
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> bytes:
        """SHA-256 over magic and text (32 bytes)."""
        return hashlib.sha256(MAGIC + self.text.encode()).digest()


def leaf_of(name: str, array: Array, aval: Aval) -> Leaf:
    """A leaf with the digest of its array."""
    return Leaf(name, aval, tensor_digest(array))


def write_snapshot(disk: Disk, place: Path, content: Content, read: Callable[[str], Array]) -> None:
    """Make the folder of a snapshot, durably; nothing where it is there already.

    Raises:
        OSError: the disk has no room; nothing is left behind.
    """
    if disk.stat(place) is not None:
        return
    beside = place.with_name(f"{UNFINISHED}{place.name}-{os.urandom(4).hex()}")
    disk.make_folder(place.parent)
    try:
        disk.make_folder(beside)
        avals = [(leaf.name, leaf.aval) for leaf in content.leaves]
        _write(disk, beside / "state.safetensors", lambda fd: write_tensors(disk, fd, avals, read))
        outer = {"digest": content.digest.hex(), "content": content.text}
        data = json.dumps(outer, indent=1).encode() + b"\n"
        _write(disk, beside / "manifest", lambda fd: disk.write(fd, data, 0))
        disk.sync_folder(beside)
        disk.rename(beside, place)
    except OSError:
        remove_tree(disk, beside)
        raise
    disk.sync_folder(place.parent)


def read_content(disk: Disk, place: Path) -> Content:
    """What a snapshot is.

    Raises:
        CorruptCheckpoint: its manifest is damaged.
        FileNotFoundError: there is none.
    """
    try:
        outer = json.loads(read_file(disk, place / "manifest"))
        content = _decode(json.loads(outer["content"]))
        if content.text != outer["content"] or content.digest.hex() != outer["digest"]:
            raise _damaged("its manifest is damaged")
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise _damaged("its manifest is damaged") from error
    return content


def read_leaves(
    disk: Disk, place: Path, content: Content, take: Callable[[str, Array], None]
) -> None:
    """Give every tensor of a snapshot to `take`, each proven by its digest first.

    Raises:
        CorruptCheckpoint: a tensor that isn't what the manifest says, by name.
    """
    try:
        fd = disk.open(place / "state.safetensors")
    except FileNotFoundError:
        raise _damaged("its tensors are missing") from None
    try:
        header = read_header(disk, fd)
        for leaf in content.leaves:
            stored = header.get(leaf.name)
            array = read_tensor(disk, fd, stored) if stored and stored.aval == leaf.aval else None
            if array is None or tensor_digest(array) != leaf.digest:
                raise _damaged(f"the tensor {leaf.name} is not what was saved", field=leaf.name)
            take(leaf.name, array)
    finally:
        disk.close(fd)


def _write(disk: Disk, path: Path, fill: Callable[[int], None]) -> None:
    fd = disk.open(path, create=True)
    try:
        fill(fd)
        disk.sync(fd)
    finally:
        disk.close(fd)


def _decode(body: dict[str, Any]) -> Content:
    if body["version"] != _VERSION:
        raise CorruptCheckpoint(
            f"the checkpoint has version {body['version']}, not {_VERSION}",
            cure="use the version of chainrule that wrote it",
        )
    held = body["pending"]
    return Content(
        step=body["step"],
        cursor=bytes.fromhex(body["cursor"]),
        pending=Pending(*held) if held else NO_GRADIENTS,
        leaves=tuple(
            Leaf(n, Aval(DType[d.upper()], tuple(dims)), bytes.fromhex(h))
            for n, d, dims, h in body["leaves"]
        ),
        init=bytes.fromhex(body["init"]),
        update=bytes.fromhex(body["update"]),
        numerics_id=bytes.fromhex(body["numerics_id"]),
    )


def _damaged(fact: str, field: str | None = None) -> CorruptCheckpoint:
    return CorruptCheckpoint(
        f"the checkpoint is damaged: {fact}",
        field=field,
        cure="use another checkpoint, or a backup; nothing was loaded",
    )
