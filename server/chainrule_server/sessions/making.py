"""Where sessions are put together: made in a folder that counts when it is whole, or found again."""

import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial

from chainrule.errors import ChainruleError, CorruptCheckpoint, StepConflict
from chainrule.ir.graph import Graph
from chainrule.ir.tensors import Array
from chainrule_server.sessions.applying import Room
from chainrule_server.sessions.book import GraphBook
from chainrule_server.sessions.catalog import Catalog
from chainrule_server.sessions.checkpoints import Checkpoints
from chainrule_server.sessions.creation import Maker, build, keep_graphs
from chainrule_server.sessions.failpoints import Failpoints
from chainrule_server.sessions.forking import begin, child_manifest, point_of
from chainrule_server.sessions.home import FolderHome, Home, MemoryHome
from chainrule_server.sessions.journal import Journal
from chainrule_server.sessions.keeping import Keeper
from chainrule_server.sessions.loading import load
from chainrule_server.sessions.manifest import Manifest
from chainrule_server.sessions.redo import from_snapshot, redo
from chainrule_server.sessions.session import Session, Surroundings
from chainrule_server.sessions.turns import Budget
from chainrule_server.sessions.types import CreateSpec, Durability, ForkSpec
from chainrule_server.storage.failures import translated
from chainrule_server.storage.files import remove_tree, replace_file
from chainrule_server.storage.folder import DataFolder


class Workshop:
    """Puts sessions together from their parts. Thread-safe.

    Args:
        folder: the data folder.
        maker: what it takes to make a session.
        graphs: gives a graph that a tenant has registered, by digest.
        failpoints: for tests.
    """

    def __init__(
        self,
        folder: DataFolder,
        maker: Maker,
        graphs: Callable[[str, bytes], Graph | None],
        failpoints: Failpoints,
    ) -> None:
        self._folder = folder
        self._maker = maker
        self._graphs = graphs
        self._failpoints = failpoints
        self._budget = Budget(maker.limits.held_bytes)
        self._lock = threading.Lock()
        self._checkpoints: dict[str, Checkpoints] = {}

    def create(
        self,
        tenant: str,
        catalog: Catalog,
        manifest: Manifest,
        spec: CreateSpec,
        arrays: dict[str, Array],
    ) -> Session:
        """The session of a Create, whole or not at all."""

        def fill(home: Home) -> Callable[[], Journal]:
            keep_graphs(home, spec)
            book = self._book(tenant, manifest, home)
            for digest in manifest.graphs:
                book.step(digest)
            return lambda: build(self._maker, home, manifest, arrays)

        return self.make(tenant, catalog, manifest, fill)

    def fork(self, tenant: str, catalog: Catalog, room: Room, spec: ForkSpec) -> Session:
        """The child of a session whose turn the caller has, whole or not at all."""
        point = point_of(room, spec.at_seq)
        parent = room.journal.home
        graphs = tuple(d for d in room.book.digests)
        manifest = child_manifest(room.manifest, spec, point, graphs, time.time())

        def fill(home: Home) -> Callable[[], Journal]:
            for digest in parent.graph_digests():
                graph = parent.graph(digest)
                if graph is not None:
                    home.add_graph(digest, graph)
            return lambda: begin(self._maker, room, home, manifest, point)

        return self.make(tenant, catalog, manifest, fill)

    def make(
        self,
        tenant: str,
        catalog: Catalog,
        manifest: Manifest,
        fill: Callable[[Home], Callable[[], Journal]],
    ) -> Session:
        """A session whose home is filled by `fill`, which gives what then writes log and state."""
        if manifest.durability is Durability.MEMORY:
            home: Home = MemoryHome(self._folder.disk, self._maker.objects, tenant)
            return self._filled(tenant, home, manifest, fill)
        disk, nursery = self._folder.disk, catalog.nursery(manifest.session_id)
        final = catalog.home(manifest.session_id).path
        try:
            with translated("making the session"):
                remove_tree(disk, nursery.path)
                disk.make_folder(nursery.path)
                session = self._filled(tenant, nursery, manifest, fill)
                try:
                    if manifest.durability is Durability.DISK:
                        self._settle(nursery, session)
                    replace_file(disk, nursery.path / "manifest", manifest.encode())
                    self._failpoints.reach("create.before_rename")
                    disk.rename(nursery.path, final)
                    if manifest.durability is Durability.DISK:
                        # The session's name, and that of its tenant where it is the first.
                        disk.sync_folder(final.parent)
                        disk.sync_folder(final.parent.parent)
                except BaseException:
                    session.close()
                    raise
        except ChainruleError:
            # What stays of it is cleared by the next try, or at the next start.
            with suppress(OSError):
                remove_tree(disk, nursery.path)
            raise
        nursery.path = final
        session.moved(final)
        self._failpoints.reach("create.after_rename")
        return session

    def load(self, tenant: str, home: FolderHome, manifest: Manifest) -> Session:
        """A session as its folder tells it; see `loading.load`."""
        book, around = self._book(tenant, manifest, home), self._around(tenant)
        if manifest.durability is not Durability.DISK:
            return Session(manifest, book, load(self._maker, home, manifest), around)
        keeper = self._keeper(tenant, home)
        try:
            journal = load(self._maker, home, manifest)
            journal.make_durable(journal.ledger.seq, nullcontext())
        except (StepConflict, CorruptCheckpoint):
            journal = self._redone(tenant, home, manifest, keeper, book)
        return Session(manifest, book, journal, around, keeper)

    def _redone(
        self, tenant: str, home: FolderHome, manifest: Manifest, keeper: Keeper, book: GraphBook
    ) -> Journal:
        """The journal of a session whose state went down with the machine, or is damaged."""
        with translated("opening the session"):
            journal, rest = from_snapshot(self._maker, home, manifest, keeper)
        try:
            redo(self._room(tenant, manifest, book, journal), keeper, rest, tenant)
        except BaseException:
            self._maker.runner.forget(journal.state.key)
            journal.close()
            raise
        return journal

    def _keeper(self, tenant: str, home: FolderHome) -> Keeper:
        return Keeper(self._folder.disk, home.path, self._maker.objects, tenant)

    def _room(self, tenant: str, manifest: Manifest, book: GraphBook, journal: Journal) -> Room:
        maker = self._maker
        return Room(
            manifest,
            book,
            journal,
            maker.runner,
            maker.objects,
            tenant,
            maker.compiler.numerics_id,
            self.checkpoints(tenant),
        )

    def checkpoints(self, tenant: str) -> Checkpoints:
        """The checkpoints of a tenant."""
        with self._lock:
            if tenant not in self._checkpoints:
                path = self._folder.of_tenant("checkpoints", tenant)
                limit = self._maker.limits.checkpoint_bytes
                self._checkpoints[tenant] = Checkpoints(path, self._folder.disk, limit)
            return self._checkpoints[tenant]

    def _filled(
        self,
        tenant: str,
        home: Home,
        manifest: Manifest,
        fill: Callable[[Home], Callable[[], Journal]],
    ) -> Session:
        finish = fill(home)
        with translated("making the session"):
            journal = finish()
        book, around = self._book(tenant, manifest, home), self._around(tenant)
        keeper = None
        if manifest.durability is Durability.DISK and isinstance(home, FolderHome):
            keeper = self._keeper(tenant, home)
        return Session(manifest, book, journal, around, keeper)

    def _settle(self, home: FolderHome, session: Session) -> None:
        """Put the beginning of a session on the device: its first snapshot, its log."""
        session.begin_keeping()
        self._folder.disk.sync_folder(home.path)

    def _book(self, tenant: str, manifest: Manifest, home: Home) -> GraphBook:
        source, limit = partial(self._graphs, tenant), self._maker.limits.graphs_per_session
        return GraphBook(manifest, home, self._maker.compiler, source, limit)

    def _around(self, tenant: str) -> Surroundings:
        maker = self._maker
        return Surroundings(
            tenant,
            maker.runner,
            maker.objects,
            self._budget,
            self._failpoints,
            maker.compiler.numerics_id,
            self.checkpoints(tenant),
        )
