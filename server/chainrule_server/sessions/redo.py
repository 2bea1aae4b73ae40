"""A session of durability `disk` after the page cache is gone: a snapshot, and the log done again.

Every operation is deterministic, so its outcome must be the one in the log to the bit: loss, norms, step.
Whatever differs stops the redo, and the session isn't served from a wrong place.
"""

import struct
import time

from chainrule.errors import CorruptCheckpoint, NumericsChanged
from chainrule.ir.operations import Method
from chainrule.ir.tensors import Array
from chainrule_server.sessions import replies
from chainrule_server.sessions.answering import leaf_receipts
from chainrule_server.sessions.applying import Room, execute
from chainrule_server.sessions.bodies import SaveBody
from chainrule_server.sessions.creation import Maker, fresh_ledger
from chainrule_server.sessions.header import StateHeader
from chainrule_server.sessions.home import FolderHome
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.keeping import Keeper
from chainrule_server.sessions.log import Entry, Log
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.record import Kind
from chainrule_server.sessions.snapshot import Content, read_content, read_leaves
from chainrule_server.sessions.state import StateFile, read_headers
from chainrule_server.sessions.steps import Outcome
from chainrule_server.sessions.types import Caller, Receipt
from chainrule_server.storage.failures import translated
from chainrule_server.workers.cancellation import Cancellation

_GROWING = (Method.FORWARD_BACKWARD, Method.RESTORE)
# No caller waits for a redo with a deadline of its own.
_PATIENCE_S = 3600.0


def from_snapshot(
    maker: Maker, home: FolderHome, manifest: Manifest, keeper: Keeper
) -> tuple[Journal, tuple[Entry, ...]]:
    """The journal at the newest whole snapshot, and the records after it.

    The log was synced before anything was acknowledged, so what follows its last sound record was never.

    Raises:
        CorruptCheckpoint: no snapshot is whole, or the log doesn't reach it.
    """
    disk, descriptors = maker.disk, [home.open("log")]
    try:
        log = Log.open(disk, descriptors[0])
        if log.session_id != manifest.session_id or log.base_chain != manifest.chain:
            raise CorruptCheckpoint("the session's log belongs to another session")
        entries = tuple(log.entries())
        _check_whole(log, entries, _headers(maker, home), maker.boot_id)
        seq, content = _newest(keeper, maker, entries)
        ledger = fresh_ledger(manifest, maker.limits)
        at = next((k for k, e in enumerate(entries) if e.record.seq > seq), len(entries))
        for entry in entries[:at]:
            ledger.note(entry)
        if log.has_tail:
            log.cut()
        descriptors.append(home.open("state.new", create=True))
        disk.truncate(descriptors[1], 0)
        # The file can't grow before it has its name, so it has room for what is to come.
        is_grown = content.pending.count > 0 or any(
            e.record.method in _GROWING for e in entries[at:]
        )
        layout = manifest.grown_layout if is_grown else manifest.layout
        state = StateFile.create(disk, descriptors[1], layout)

        def take(name: str, array: Array) -> None:
            state.write(ledger.state_version, [(name, array)])

        read_leaves(disk, keeper.place(seq), content, take)
        header = StateHeader(
            buffer_offset=state.buffer_offset,
            serial=0,
            seq=ledger.seq,
            step=ledger.step,
            epoch=ledger.epoch,
            state_version=ledger.state_version,
            log_bytes=log.end,
            log_records=ledger.records,
            chain=ledger.chain,
            boot_id=maker.boot_id,
            is_grown=is_grown,
        )
        # Until the redo is through the file isn't the session's state, and has no name of its own.
        return Journal(home, log, state, ledger, header, maker.boot_id), entries[at:]
    except BaseException:
        for fd in descriptors:
            disk.close(fd)
        raise


def redo(room: Room, keeper: Keeper, entries: tuple[Entry, ...], tenant: str) -> None:
    """Do the operations of these records again, each proven against its record.

    Raises:
        NumericsChanged: this server computes otherwise than the one that did them.
        CorruptCheckpoint: a batch is gone, or an outcome differs from the log.
    """
    ledger = room.journal.ledger
    for entry in entries:
        record = entry.record
        if record.kind is Kind.OPERATION:
            reply = replies.decode(record.reply)
            if reply.numerics_id != room.numerics_id:
                raise NumericsChanged(
                    f"operation {record.seq} was computed by numerics {reply.numerics_id.hex()[:16]},"
                    f" this server computes by {room.numerics_id.hex()[:16]}",
                    cure="serve the data folder with the version and machine type that wrote it",
                )
            body = keeper.body(record.method, record.body)
            if not isinstance(body, SaveBody):
                caller = Caller(tenant, time.monotonic() + _PATIENCE_S)
                outcome = execute(room, caller, body, Cancellation(), record.cursor)
                _check_same(record.seq, outcome, reply.loss, reply.grad_norm, record.step)
                _check_receipts(room.journal, record.seq, outcome, reply.receipts)
        ledger.note(entry)
    with translated("writing the session's state"):
        room.journal.take_name()


def _headers(maker: Maker, home: FolderHome) -> tuple[StateHeader, ...]:
    """The headers of the state that went down, as far as they are there."""
    disk = maker.disk
    if disk.stat(home.path / "state") is None:
        return ()
    fd = home.open("state")
    try:
        return read_headers(disk, fd)
    finally:
        disk.close(fd)


def _check_whole(
    log: Log, entries: tuple[Entry, ...], headers: tuple[StateHeader, ...], boot_id: bytes
) -> None:
    """That the log ends where a crash may end it, and not where something was taken away.

    What the log lost behind its last sound record may only be what nobody was told of: a later record that
    knew more to be durable, or a header that this very kernel has in its cache, says otherwise.

    Raises:
        CorruptCheckpoint: acknowledged operations are missing.
    """
    last = max((e.record.seq for e in entries), default=log.base_seq)
    witnessed = [h.seq for h in headers if h.is_clean or h.boot_id == boot_id]
    witnessed += [replies.decode(r.reply).durable_seq for r in log.beyond(last) if r.reply]
    if max(witnessed, default=0) > last:
        raise CorruptCheckpoint(
            f"the session is set aside: its log is sound up to operation {last},"
            f" operation {max(witnessed)} was acknowledged",
            cure="restore its folder from a backup",
        )


def _newest(keeper: Keeper, maker: Maker, entries: tuple[Entry, ...]) -> tuple[int, Content]:
    """The newest snapshot that is whole and that the log reaches."""
    last = max((e.record.seq for e in entries), default=0)
    for seq in keeper.snapshots():
        if seq > last:
            continue
        try:
            with translated("reading a snapshot"):
                content = read_content(maker.disk, keeper.place(seq))
                read_leaves(maker.disk, keeper.place(seq), content, lambda name, array: None)
            return seq, content
        except (CorruptCheckpoint, FileNotFoundError):
            continue
    raise CorruptCheckpoint(
        "no snapshot of the session is whole", cure="restore its folder from a backup"
    )


def _check_same(
    seq: int, outcome: Outcome, loss: float | None, norm: float | None, step: int
) -> None:
    made, told = (outcome.loss, outcome.grad_norm), (loss, norm)
    if _bits(made) != _bits(told) or outcome.step != step:
        raise CorruptCheckpoint(
            f"operation {seq} done again gives loss and norm {made}, its record says {told}",
            cure="restore the session's folder from a backup; report this with both versions",
        )


def _check_receipts(
    journal: Journal, seq: int, outcome: Outcome, told: tuple[Receipt, ...]
) -> None:
    """That every leaf for which the client was given a receipt has its digest again."""
    wanted = {r.name: r.digest for r in told if r.name not in ("chain", "checkpoint")}
    if not wanted:
        return
    found = {r.name: r.digest for r in leaf_receipts(journal, outcome)}
    wrong = sorted(name for name in wanted if found.get(name) != wanted[name])
    if wrong:
        raise CorruptCheckpoint(
            f"operation {seq} done again leaves {wrong[0]} with another digest than its receipt",
            field=wrong[0],
            cure="restore the session's folder from a backup; report this with both versions",
        )


def _bits(values: tuple[float | None, ...]) -> tuple[bytes | None, ...]:
    return tuple(None if v is None else struct.pack("<d", v) for v in values)
