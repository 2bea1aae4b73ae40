"""All sessions of the server: made, found again, kept open as long as there is room, closed.

A session whose folder is there is served after any end of the server, and read when it is first asked for, so
a start costs nothing a session. Only a bounded number has open files; the longest unused is closed and found
again by the same road as after a restart.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial

from chainrule.errors import (
    ChainruleError,
    CorruptCheckpoint,
    ErrorCode,
    NotFound,
    Unavailable,
)
from chainrule.ir.graph import Graph
from chainrule_server.sessions import replies
from chainrule_server.sessions.bodies import Body, CloseBody
from chainrule_server.sessions.catalog import Catalog
from chainrule_server.sessions.checkpoints import Checkpoint
from chainrule_server.sessions.creation import (
    Maker,
    check_spec,
    first_state,
    manifest_of,
)
from chainrule_server.sessions.digests import check_bytes, check_header, create_digest
from chainrule_server.sessions.failpoints import Failpoints, NoFailpoints
from chainrule_server.sessions.forking import check_fork
from chainrule_server.sessions.home import FolderHome
from chainrule_server.sessions.limits import SessionLimits
from chainrule_server.sessions.loading import glance
from chainrule_server.sessions.making import Workshop
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.record import Record, decode_record
from chainrule_server.sessions.runner import Runner, StepCompiler
from chainrule_server.sessions.session import Session
from chainrule_server.sessions.shelf import Shelf
from chainrule_server.sessions.turns import not_found
from chainrule_server.sessions.types import (
    Caller,
    CreateReply,
    CreateSpec,
    Durability,
    EvaluateReply,
    EvaluateSpec,
    ForkSpec,
    Head,
    OpenSpec,
    OpHeader,
    OpReply,
    StateReply,
    StateSpec,
)
from chainrule_server.storage.folder import DataFolder
from chainrule_server.storage.objects import ObjectStore


class SessionRegistry:
    """Sessions of all tenants. Every method is safe to call from any thread.

    Args:
        folder: the data folder, under lock.
        objects: the object store in it.
        compiler, runner: the engine and the pool.
        graphs: gives a graph that a tenant has registered, by digest.
        limits: bounds.
        failpoints: for tests.
    """

    def __init__(
        self,
        folder: DataFolder,
        objects: ObjectStore,
        compiler: StepCompiler,
        runner: Runner,
        *,
        graphs: Callable[[str, bytes], Graph | None],
        limits: SessionLimits | None = None,
        failpoints: Failpoints | None = None,
    ) -> None:
        self._limits = limits or SessionLimits()
        self._maker = Maker(folder.disk, objects, compiler, runner, self._limits, folder.boot_id)
        self._folder = folder
        self._failpoints = failpoints or NoFailpoints()
        self._workshop = Workshop(folder, self._maker, graphs, self._failpoints)
        self._lock = threading.Lock()
        self._catalogs: dict[str, Catalog] = {}
        self._shelf = Shelf(self._limits.open_sessions)
        self._is_draining = False

    def create(self, caller: Caller, spec: CreateSpec) -> CreateReply:
        """Make a session, whole or not at all. The same request again gives the same answer.

        Raises:
            NameTaken: the id or the name is in use by another Create.
            SessionError: the id was closed (SESSION_CLOSED).
            ChainruleError: arrays, graphs, quota, storage; nothing is left behind.
        """
        self._check_serving()
        check_spec(spec)
        digest = create_digest(spec)
        catalog = self._catalog(caller.tenant)
        with catalog.making:
            with catalog.lock:
                known = catalog.manifests.get(spec.session_id)
                if known and (known.request_id, known.digest) == (spec.request_id, digest):
                    return CreateReply(self._first_head(caller.tenant, known), replayed=True)
                catalog.check_new(spec.session_id, spec.name, self._limits)
            arrays = first_state(self._maker, caller, spec)
            manifest = manifest_of(self._maker, spec, digest, arrays, time.time())
            session = self._workshop.create(caller.tenant, catalog, manifest, spec, arrays)
            self._shelf.put((caller.tenant, spec.session_id), session)
            with catalog.lock:
                catalog.add(manifest)
            return CreateReply(session.head(with_digest=True))

    def fork(self, caller: Caller, spec: ForkSpec) -> CreateReply:
        """A session that begins where another stands or stood. The same request again, the same answer.

        Raises:
            NotFound: no such parent, or nobody kept its state there.
            NameTaken, SessionError: as `create`.
            CorruptCheckpoint: the checkpoint that kept it is damaged.
        """
        self._check_serving()
        check_fork(spec)
        catalog = self._catalog(caller.tenant)
        with catalog.making:
            with catalog.lock:
                known = catalog.manifests.get(spec.child_id)
                if known and (known.request_id, known.parent) == (spec.request_id, spec.parent_id):
                    return CreateReply(self._first_head(caller.tenant, known), replayed=True)
                catalog.check_new(spec.child_id, spec.name, self._limits)
            with (
                self._use(caller.tenant, spec.parent_id) as parent,
                parent.standing(caller) as room,
            ):
                session = self._workshop.fork(caller.tenant, catalog, room, spec)
            self._shelf.put((caller.tenant, spec.child_id), session)
            with catalog.lock:
                catalog.add(session.manifest)
            return CreateReply(session.head(with_digest=True))

    def log(
        self, caller: Caller, session_id: bytes, from_seq: int, limit: int
    ) -> tuple[tuple[Record, ...], int, int]:
        """Applied operations from one on, the first that is kept, and the next to come.

        Raises:
            NotFound: no such session.
        """
        with self._use(caller.tenant, session_id) as session:
            found, first = session.log(from_seq, limit)
            return found, first, session.head().next_seq

    def open(self, caller: Caller, spec: OpenSpec) -> Head:
        """Take a session over by id, or by name where the id is empty: its epoch rises.

        Raises:
            NotFound: this tenant has none like that.
            Fenced, StepConflict: as `Session.open`.
        """
        self._check_serving()
        check_bytes("request_id", spec.request_id, 16)
        if not spec.session_id:
            catalog = self._catalog(caller.tenant)
            with catalog.lock:
                spec = replace(spec, session_id=catalog.named(spec.name))
        with self._use(caller.tenant, spec.session_id) as session:
            return session.open(spec)

    def apply(self, caller: Caller, header: OpHeader, body: Body) -> OpReply:
        """Apply an operation exactly once, in the order of seq.

        Raises:
            GraphError: a header whose digest isn't that of the body (BAD_FIELD).
            NotFound: this tenant has no such session, or it is closed.
            ChainruleError: as `Session.apply`.
        """
        check_header(header, body)
        try:
            with self._use(caller.tenant, header.session_id) as session:
                reply = session.apply(caller, header, body)
                if isinstance(body, CloseBody):
                    catalog = self._catalog(caller.tenant)
                    self._bury(catalog, catalog.home(header.session_id), session)
                return reply
        except NotFound:
            if isinstance(body, CloseBody):
                return self._closed_reply(caller.tenant, header)
            raise

    def evaluate(self, caller: Caller, spec: EvaluateSpec) -> EvaluateReply:
        """Outputs of a graph over a session's state; Predict is the same call.

        Raises:
            NotFound: no such session or graph.
            ChainruleError: as `Session.evaluate`.
        """
        with self._use(caller.tenant, spec.session_id) as session:
            return session.evaluate(caller, spec)

    def get_state(self, caller: Caller, spec: StateSpec) -> StateReply:
        """Copies of a session's leaves.

        Raises:
            NotFound: no such session.
        """
        with self._use(caller.tenant, spec.session_id) as session:
            return session.read(caller, spec)

    def list(self, caller: Caller) -> tuple[Head, ...]:
        """The tenant's open sessions by time of creation; those not in use are only glanced at.

        A head from a glance has neither cursor nor state digest, and may be one operation old.
        """
        catalog = self._catalog(caller.tenant)
        with catalog.lock:
            manifests = sorted(catalog.manifests.values(), key=lambda m: m.created_at)
        heads = []
        for manifest in manifests:
            session = self._shelf.peek((caller.tenant, manifest.session_id))
            heads.append(
                session.head()
                if session is not None
                else glance(self._maker, catalog.home(manifest.session_id), manifest)
            )
        return tuple(heads)

    def checkpoints(
        self, caller: Caller, session_id: bytes = b"", name: str = ""
    ) -> tuple[Checkpoint, ...]:
        """The tenant's checkpoints by name; of one session or by one name where these are given."""
        return tuple(
            found
            for found in self._workshop.checkpoints(caller.tenant).listed()
            if session_id in (b"", found.session_id) and name in ("", found.name)
        )

    def checkpoint(self, caller: Caller, name: str, digest: bytes) -> Checkpoint:
        """The checkpoint that a Save or Restore has answered with.

        Raises:
            NotFound: it is gone.
        """
        return self._workshop.checkpoints(caller.tenant).named(name, digest)

    def drain(self, deadline: float) -> tuple[ChainruleError, ...]:
        """Refuse new work, let running operations end, leave every open session proven on disk.

        Args:
            deadline: `time.monotonic()` at which running operations are stopped; they aren't applied.

        Returns:
            Failures of storage; nothing acknowledged is lost by them as long as the machine is up.
        """
        self._is_draining = True
        failures = []
        for session in self._shelf.sessions():
            try:
                session.drain(deadline)
            except ChainruleError as error:
                failures.append(error)
        return tuple(failures)

    def close(self) -> None:
        """Give all files back, after `drain`. Sessions with durability memory end here."""
        self._shelf.clear()

    def _catalog(self, tenant: str) -> Catalog:
        with self._lock:
            if tenant not in self._catalogs:
                path = self._folder.of_tenant("sessions", tenant)
                self._catalogs[tenant] = Catalog(
                    path, self._folder.disk, self._maker.objects, tenant
                )
            return self._catalogs[tenant]

    @contextmanager
    def _use(self, tenant: str, session_id: bytes) -> Iterator[Session]:
        """The open session; it stays open inside the block.

        Raises:
            NotFound: one text for ids that never were, are another tenant's, or are closed.
            CorruptCheckpoint, StepConflict: it is set aside; the others are served.
        """
        catalog = self._catalog(tenant)
        with catalog.lock:
            if session_id in catalog.damaged:
                raise CorruptCheckpoint(
                    f"the session is set aside: {catalog.damaged[session_id]}",
                    cure="restore its folder from a backup, or create it again under another id",
                )
            manifest = catalog.manifests.get(session_id)
            if manifest is None:
                raise not_found()
        load = partial(self._load, tenant, catalog, manifest)
        with self._shelf.use((tenant, session_id), load) as session:
            yield session

    def _load(self, tenant: str, catalog: Catalog, manifest: Manifest) -> Session:
        self._check_serving()
        if manifest.durability is Durability.MEMORY:
            raise not_found()
        home = catalog.home(manifest.session_id)
        session = self._workshop.load(tenant, home, manifest)
        if session.tombstone is not None:
            # The server ended between the record of Close and the tombstone.
            self._bury(catalog, home, session)
            session.close()
            raise not_found()
        return session

    def _bury(self, catalog: Catalog, home: FolderHome, session: Session) -> None:
        """Leave a tombstone of a session whose Close is in its log."""
        data = session.tombstone
        stone = decode_record(data) if data is not None else None
        if data is None or stone is None:
            return
        with catalog.lock:
            catalog.bury(session.manifest.session_id, stone)
        if session.manifest.durability is Durability.MEMORY:
            return
        self._failpoints.reach("close.before_tombstone")
        # Where this fails the log still says that the session is closed; the next start finishes it.
        with suppress(ChainruleError):
            home.bury(data)
        self._failpoints.reach("close.after_tombstone")

    def _closed_reply(self, tenant: str, header: OpHeader) -> OpReply:
        """The stored reply of the Close that ended a session; for anything else it doesn't exist."""
        catalog = self._catalog(tenant)
        with catalog.lock:
            stone = catalog.stones.get(header.session_id)
        asked = (header.seq, header.prev, header.digest)
        if stone is None or (stone.seq, stone.prev, stone.digest) != asked:
            raise not_found()
        return replies.decode(stone.reply)

    def _first_head(self, tenant: str, manifest: Manifest) -> Head:
        """What Create answered: the head as it is now, with the epoch that Create gave."""
        with self._use(tenant, manifest.session_id) as session:
            return replace(session.head(with_digest=True), epoch=1)

    def _check_serving(self) -> None:
        if self._is_draining:
            raise Unavailable(
                "the server is going down",
                code=ErrorCode.DRAINING,
                cure="send the same request again in a second",
                retry_after_s=1.0,
            )
