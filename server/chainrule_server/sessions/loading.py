"""A session found again: its files opened and brought to one story."""

from chainrule.errors import CorruptCheckpoint
from chainrule_server.sessions.creation import Maker, fresh_ledger
from chainrule_server.sessions.header import StateHeader
from chainrule_server.sessions.home import FolderHome
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.log import Log
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.recovery import check_state, replay_log
from chainrule_server.sessions.state import StateFile, read_headers
from chainrule_server.sessions.types import Head, Notice
from chainrule_server.storage.failures import translated


def load(maker: Maker, home: FolderHome, manifest: Manifest) -> Journal:
    """The journal of a session as its folder tells it.

    Raises:
        CorruptCheckpoint: files are missing, damaged or don't fit each other; nothing was changed.
        StepConflict: the state went down with the machine (STEPS_LOST).
        Overloaded, Unavailable: the files can't be read now.
    """
    disk = maker.disk
    descriptors: list[int] = []
    try:
        with translated("opening the session"):
            is_borrowed = disk.stat(home.path / "state") is None and home.is_fork
            for name in ("log", "base", "origin") if is_borrowed else ("log", "state"):
                descriptors.append(_open(home, name))
            log = Log.open(disk, descriptors[0])
            if log.session_id != manifest.session_id or log.base_chain != manifest.chain:
                raise CorruptCheckpoint("the session's log belongs to another session")
            # A fork that hasn't written yet has its parent's buffers and its own headers.
            headers = read_headers(disk, descriptors[-1])
            ledger = fresh_ledger(manifest, maker.limits)
            replay_log(log, ledger, headers)
            header = headers[0]
            layout = manifest.grown_layout if header.is_grown else manifest.layout
            header_fd = descriptors[2] if is_borrowed else None
            state = StateFile(disk, descriptors[1], layout, header.buffer_offset, header_fd)
            if disk.size(descriptors[1]) < state.nbytes:
                raise CorruptCheckpoint("the session's state is shorter than its layout")
            check_state(state, header, ledger, maker.boot_id)
            return Journal(home, log, state, ledger, header, maker.boot_id)
    except BaseException:
        for fd in descriptors:
            disk.close(fd)
        raise


def glance(maker: Maker, home: FolderHome, manifest: Manifest) -> Head:
    """Where a session stands by its header alone: cheap, for a list."""
    notices: tuple[Notice, ...] = ()
    headers: tuple[StateHeader, ...] = ()
    try:
        is_fork = maker.disk.stat(home.path / "state") is None and home.is_fork
        fd = maker.disk.open(home.path / ("origin" if is_fork else "state"))
        try:
            headers = read_headers(maker.disk, fd)
        finally:
            maker.disk.close(fd)
    except OSError:
        pass
    if not headers:
        notices = (Notice("DAMAGED", "the session's state can't be read"),)
    header = headers[0] if headers else None
    return Head(
        session_id=manifest.session_id,
        name=manifest.name,
        epoch=header.epoch if header else 0,
        next_seq=header.seq + 1 if header else 0,
        step=header.step if header else 0,
        chain=header.chain if header else b"",
        client_cursor=b"",
        state_digest=b"",
        max_inflight=manifest.window,
        durability=manifest.durability,
        numerics_id=maker.compiler.numerics_id,
        durable_seq=0,
        graph_digests=manifest.graphs,
        non_finite=manifest.non_finite,
        seed=manifest.seed,
        microshard_rows=manifest.microshard_rows,
        frozen=manifest.frozen,
        created_at=manifest.created_at,
        notices=notices,
    )


def _open(home: FolderHome, name: str) -> int:
    try:
        return home.open(name)
    except FileNotFoundError:
        raise CorruptCheckpoint(
            f"the session's {name} is missing", cure="restore its folder from a backup"
        ) from None
