"""What durability `disk` keeps so that operations can be done again: batches, bodies, snapshots.

    batches-<seq>       objects of the operations after snapshot <seq>: u64 bytes, u32 crc, object; ...
    snapshots/<seq>/    the state after that operation

A batch is on the device before its operation is in the log. Snapshots are made when a redo would take long;
the last two are kept, and the batches after the older one.
"""

import json
import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from chainrule.errors import ChainruleError, CorruptCheckpoint
from chainrule.ir.operations import Method
from chainrule.ir.tensors import decode_tensor, encode_tensor
from chainrule_server.sessions.applying import Room
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
    tensors_of,
)
from chainrule_server.sessions.saving import content_of
from chainrule_server.sessions.snapshot import UNFINISHED, write_snapshot
from chainrule_server.sessions.steps import Outcome
from chainrule_server.sessions.types import NamedTensor, ObjectRef
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.failures import translated
from chainrule_server.storage.files import read_range, remove_tree
from chainrule_server.storage.objects import ObjectStore

_FRAME = struct.Struct("<QI")
_BARE: dict[Method, type[OptimStepBody] | type[DiscardGradientsBody] | type[CloseBody]] = {
    Method.OPTIM_STEP: OptimStepBody,
    Method.DISCARD_GRADIENTS: DiscardGradientsBody,
    Method.CLOSE: CloseBody,
}
# A redo longer than this is felt; ten times what a snapshot costs keeps that below a tenth.
_REDO_S, _COSTS = 2.0, 10.0
_BATCH_BYTES = 256 << 20
_KEPT = 2


class Keeper:
    """Keeps what a redo of one session needs. The caller has the session's turn.

    Args:
        disk: where it lies.
        path: the session's folder.
        objects, tenant: where batches may lie before they are kept.
    """

    def __init__(self, disk: Disk, path: Path, objects: ObjectStore, tenant: str) -> None:
        self.path = path
        self._disk = disk
        self._objects = objects
        self._tenant = tenant
        self._redo_s = 0.0
        self._snapshot_s = 0.0
        self._bytes = 0
        self._segment: int | None = None

    def snapshots(self) -> tuple[int, ...]:
        """The operations whose state is kept, the newest first."""
        names = self._disk.names(self.path / "snapshots")
        return tuple(sorted((int(n) for n in names if n.isdecimal()), reverse=True))

    def place(self, seq: int) -> Path:
        """The folder of a snapshot."""
        return self.path / "snapshots" / f"{seq:020d}"

    def keep(self, body: Body) -> bytes:
        """Put the tensors of an operation on the device; gives what its record says of them.

        Raises:
            Overloaded, Unavailable: there is no room for them.
        """
        found: dict[str, Any] = {}
        tensors = tensors_of(body)
        if tensors:
            found["tensors"] = self._write(tensors)
        if isinstance(body, StepBody | ForwardBackwardBody):
            found |= {"graph": body.graph_digest.hex(), "weight": body.weight}
        if isinstance(body, SaveBody):
            found["name"] = body.name
        if isinstance(body, RestoreBody):
            found |= {"checkpoint": body.checkpoint.hex(), "drift": body.allow_drift}
        return json.dumps(found, separators=(",", ":")).encode()

    def body(self, method: Method, kept: bytes) -> Body:
        """The operation that `keep` was given.

        Raises:
            CorruptCheckpoint: a batch is missing or damaged.
        """
        found = json.loads(kept or b"{}")
        with translated("reading the session's batches"):
            tensors = tuple(self._read(*entry) for entry in found.get("tensors", ()))
        match method:
            case Method.STEP:
                graph = bytes.fromhex(found["graph"])
                return StepBody(graph, tensors, weight=found["weight"])
            case Method.FORWARD_BACKWARD:
                graph = bytes.fromhex(found["graph"])
                return ForwardBackwardBody(graph, tensors, weight=found["weight"])
            case Method.SET_STATE:
                return SetStateBody(tensors)
            case Method.SAVE:
                return SaveBody(found["name"])
            case Method.RESTORE:
                return RestoreBody(bytes.fromhex(found["checkpoint"]), found["drift"])
            case _:
                return _BARE[method]()

    def after(self, room: Room, outcome: Outcome) -> None:
        """An operation is committed: make a snapshot where a redo would take too long by now."""
        self._redo_s += outcome.resources.wall_seconds
        is_long = self._redo_s > max(_REDO_S, _COSTS * self._snapshot_s)
        if is_long or self._bytes > _BATCH_BYTES:
            self.snapshot(room)

    def begin(self, room: Room) -> None:
        """Keep the state as it stands.

        Raises:
            Overloaded, Unavailable: there is no room for it.
        """
        ledger, state = room.journal.ledger, room.journal.state
        version = ledger.state_version
        content = content_of(room.manifest, room.journal, ledger.cursor, room.numerics_id)
        with translated("making a snapshot"):
            write_snapshot(
                self._disk, self.place(ledger.seq), content, lambda name: state.read(version, name)
            )
        self._segment = ledger.seq

    def snapshot(self, room: Room) -> None:
        """Keep the state as it stands, and let go of what two snapshots make useless.

        A failure costs nothing but a longer redo, so it isn't told to whoever happened to be next.
        """
        begin = time.monotonic()
        with suppress(ChainruleError, OSError):
            self.begin(room)
            self._let_go()
        self._redo_s, self._snapshot_s = 0.0, time.monotonic() - begin
        self._bytes = 0

    def _let_go(self) -> None:
        kept = self.snapshots()
        for seq in kept[_KEPT:]:
            remove_tree(self._disk, self.place(seq))
        oldest = kept[:_KEPT][-1]
        for name in self._disk.names(self.path):
            if name.startswith("batches-") and int(name.removeprefix("batches-")) < oldest:
                self._disk.unlink(self.path / name)
        for name in self._disk.names(self.path / "snapshots"):
            if name.startswith(UNFINISHED):
                remove_tree(self._disk, self.path / "snapshots" / name)

    def _write(self, tensors: tuple[NamedTensor, ...]) -> list[tuple[str, int, int]]:
        with translated("keeping the batch"):
            if self._segment is None:
                self._segment = next(iter(self.snapshots()), 0)
            segment = self._segment
            path = self.path / f"batches-{segment}"
            is_new = self._disk.stat(path) is None
            fd = self._disk.open(path, create=True)
            try:
                at = self._disk.size(fd)
                places: list[tuple[str, int, int]] = []
                frames: list[bytes] = []
                for tensor in tensors:
                    value = tensor.value
                    if isinstance(value, ObjectRef):
                        value = self._objects.array(self._tenant, value.digest)
                    data = encode_tensor(value)
                    places.append((tensor.name, segment, at + sum(map(len, frames))))
                    frames.append(_FRAME.pack(len(data), zlib.crc32(data)) + data)
                data = b"".join(frames)
                self._disk.write(fd, data, at)
                self._disk.sync(fd)
            finally:
                self._disk.close(fd)
            if is_new:
                self._disk.sync_folder(self.path)
        self._bytes += len(data)
        return places

    def _read(self, name: str, segment: int, offset: int) -> NamedTensor:
        try:
            fd = self._disk.open(self.path / f"batches-{segment}")
        except FileNotFoundError:
            raise _gone(name) from None
        try:
            head = read_range(self._disk, fd, offset, _FRAME.size)
            n, crc = _FRAME.unpack(head) if len(head) == _FRAME.size else (0, 1)
            if offset + _FRAME.size + n > self._disk.size(fd):
                raise _gone(name)
            data = read_range(self._disk, fd, offset + _FRAME.size, n)
        finally:
            self._disk.close(fd)
        if zlib.crc32(data) != crc:
            raise _gone(name)
        return NamedTensor(name, decode_tensor(data))


def _gone(name: str) -> CorruptCheckpoint:
    return CorruptCheckpoint(
        f"the batch {name} of an operation that must be done again is missing or damaged",
        field=name,
        cure="restore the session's folder from a backup",
    )
