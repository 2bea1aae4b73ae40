"""Fork: a session that begins with the state of another one, and shares its bytes until one writes.

The child gets a second name of its parent's state file, a log and headers of its own. Whoever writes first
while both live on the file moves to a copy; if the other one is gone by then, nobody copies anything. A
child that begins at a checkpoint, or in memory, gets a copy at once.
"""

from dataclasses import dataclass, replace

from chainrule.errors import CorruptCheckpoint, NotFound
from chainrule.ir.operations import Method, first_chain, fork_digest
from chainrule.ir.tensors import Array
from chainrule_server.sessions.applying import Room
from chainrule_server.sessions.creation import Maker, check_label, fresh_ledger
from chainrule_server.sessions.digests import check_bytes
from chainrule_server.sessions.header import StateHeader
from chainrule_server.sessions.home import Home
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.log import Log
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.record import Kind, Pending, Record
from chainrule_server.sessions.snapshot import Content
from chainrule_server.sessions.state import StateFile
from chainrule_server.sessions.types import ForkSpec


@dataclass(frozen=True, slots=True)
class Point:
    """Where a child begins.

    Attributes:
        seq, chain, step, cursor, pending: of the parent there.
        content: of the checkpoint that kept it; None where the parent stands there now.
    """

    seq: int
    chain: bytes
    step: int
    cursor: bytes
    pending: Pending
    content: Content | None = None


def check_fork(spec: ForkSpec) -> None:
    """The fields of a Fork.

    Raises:
        GraphError: ids of a wrong length, a bad name.
    """
    check_bytes("request_id", spec.request_id, 16)
    check_bytes("parent_id", spec.parent_id, 16)
    check_bytes("child_id", spec.child_id, 16)
    if spec.name:
        check_label(spec.name)


def point_of(room: Room, at_seq: int) -> Point:
    """The state after operation `at_seq` of a session whose turn the caller has.

    Raises:
        NotFound: nobody kept it; the text lists what there is.
        CorruptCheckpoint: the checkpoint that kept it is damaged.
    """
    ledger = room.journal.ledger
    if at_seq in (0, ledger.seq):
        return Point(ledger.seq, ledger.chain, ledger.step, ledger.cursor, ledger.pending)
    kept = {c.seq: c for c in room.checkpoints.listed() if c.session_id == room.manifest.session_id}
    if at_seq not in kept:
        listed = ", ".join(map(str, sorted(kept)[-8:])) or "none"
        raise NotFound(
            f"the state after operation {at_seq} is not kept; checkpoints are of operations {listed},"
            f" the session stands at {ledger.seq}",
            cure="fork there, or save a checkpoint where you may want to come back to",
        )
    content = room.checkpoints.content(kept[at_seq].digest)
    chain = _chain_at(room, at_seq)
    return Point(at_seq, chain, content.step, content.cursor, content.pending, content)


def child_manifest(
    parent: Manifest, spec: ForkSpec, point: Point, graphs: tuple[bytes, ...], created_at: float
) -> Manifest:
    """What the child is: its parent, but for names and history."""
    digest = fork_digest(spec.parent_id, point.seq, point.chain, spec.name)
    return replace(
        parent,
        session_id=spec.child_id,
        request_id=spec.request_id,
        digest=digest,
        chain=first_chain(spec.child_id, digest),
        name=spec.name,
        created_at=created_at,
        graphs=graphs,
        parent=spec.parent_id,
        parent_seq=point.seq,
    )


def begin(maker: Maker, room: Room, home: Home, manifest: Manifest, point: Point) -> Journal:
    """Log, headers and state of the child.

    Raises:
        OSError: the disk has no room for them.
        CorruptCheckpoint: a tensor of the checkpoint isn't what was saved.
    """
    disk, parent = maker.disk, room.journal
    descriptors = [home.open("log", create=True)]
    try:
        log = Log.create(disk, descriptors[0], manifest.session_id, 0, manifest.chain)
        is_lent = point.content is None and parent.home.lend(home)
        version = parent.ledger.state_version if is_lent else 0
        entry = log.append(_base(manifest, point, version))
        ledger = fresh_ledger(manifest, maker.limits)
        ledger.note(entry)
        if is_lent:
            for name, is_new in (("base", False), ("origin", True)):
                descriptors.append(home.open(name, create=is_new))
            layout, offset = parent.state.layout, parent.state.buffer_offset
            state = StateFile(disk, descriptors[1], layout, offset, descriptors[2])
        else:
            is_grown = point.pending.count > 0
            layout = manifest.grown_layout if is_grown else manifest.layout
            descriptors.append(home.open("state", create=True))
            state = StateFile.create(disk, descriptors[1], layout)
            _copy(room, state, point)
        header = StateHeader(
            buffer_offset=state.buffer_offset,
            serial=0,
            seq=0,
            step=point.step,
            epoch=1,
            state_version=version,
            log_bytes=log.end,
            log_records=1,
            chain=manifest.chain,
            boot_id=maker.boot_id,
            is_grown=state.is_grown,
        )
        state.stamp(version, ledger.made_by)
        for serial in (0, 1):
            header = replace(header, serial=serial)
            state.write_header(header)
        return Journal(home, log, state, ledger, header, maker.boot_id)
    except BaseException:
        for fd in descriptors:
            disk.close(fd)
        raise


def _copy(room: Room, state: StateFile, point: Point) -> None:
    """Write the leaves of the point into buffer 0 of a new file."""

    def take(name: str, array: Array) -> None:
        state.write(0, [(name, array)])

    if point.content is not None:
        room.checkpoints.leaves(point.content, take)
        return
    old, version = room.journal.state, room.journal.ledger.state_version
    for name in room.journal.names:
        take(name, old.read(version, name))


def _base(manifest: Manifest, point: Point, version: int) -> Record:
    return Record(
        Kind.BASE,
        0,
        manifest.chain,
        Method.FORK,
        1,
        manifest.request_id,
        bytes(32),
        point.step,
        version,
        point.cursor,
        b"",
        point.pending,
    )


def _chain_at(room: Room, seq: int) -> bytes:
    if seq == 0:
        return room.manifest.chain
    for entry in room.journal.history():
        if entry.record.seq == seq and entry.record.kind is Kind.OPERATION:
            return entry.chain
    raise CorruptCheckpoint(f"operation {seq} is no longer in the session's log")
