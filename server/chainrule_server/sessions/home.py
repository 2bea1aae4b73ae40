"""The folder of a session, and its like in memory.

manifest          what the session is
graphs/<digest>   canonical bytes of its graphs
objects/<digest>  second names of objects its graphs capture
log  state        its history and where it stands
base  origin      in place of state in a fork that hasn't written yet: its parent's file, its own headers
tombstone         all that stays of a closed one
"""

import re
from pathlib import Path
from typing import Protocol

from chainrule.errors import CorruptCheckpoint
from chainrule.ir import canonical
from chainrule.ir.graph import Graph
from chainrule.ir.tensors import Array
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.failures import translated
from chainrule_server.storage.files import read_file, remove_tree, replace_file
from chainrule_server.storage.objects import ObjectStore, map_tensor

_GRAPH = re.compile("[0-9a-f]{64}")


class Home(Protocol):
    """Where a session keeps what isn't log or state."""

    def graph_digests(self) -> tuple[bytes, ...]:
        """Digests of all graphs, sorted."""

    def add_graph(self, digest: bytes, graph: Graph) -> None:
        """Keep a graph."""

    def graph(self, digest: bytes) -> Graph | None:
        """A graph that is kept."""

    def capture(self, digest: bytes) -> Array:
        """An array that a graph captures; from now on it stays as long as the session."""

    def open(self, name: str, *, create: bool = False) -> int:
        """A descriptor of `log` or `state`."""

    def adopt(self, name: str) -> None:
        """Let `name.new`, which is whole, take the place of `name`."""

    @property
    def is_lent(self) -> bool:
        """Whether a fork lives on this session's state file."""

    def lend(self, child: "Home") -> bool:
        """Give a fork the state file without a copy; False where that can't be."""


class MemoryHome:
    """Of a session with durability `memory`: nothing on disk, gone with the server."""

    def __init__(self, disk: Disk, objects: ObjectStore, tenant: str) -> None:
        self._disk = disk
        self._objects = objects
        self._tenant = tenant
        self._graphs: dict[bytes, Graph] = {}
        self._captures: dict[bytes, Array] = {}

    def graph_digests(self) -> tuple[bytes, ...]:
        return tuple(sorted(self._graphs))

    def add_graph(self, digest: bytes, graph: Graph) -> None:
        self._graphs[digest] = graph

    def graph(self, digest: bytes) -> Graph | None:
        return self._graphs.get(digest)

    def capture(self, digest: bytes) -> Array:
        if digest not in self._captures:
            # The mapping keeps the bytes, even when the store has collected the file.
            self._captures[digest] = self._objects.array(self._tenant, digest)
        return self._captures[digest]

    def open(self, name: str, *, create: bool = False) -> int:
        return self._disk.memory(f"chainrule {name}")

    def adopt(self, name: str) -> None:
        pass

    @property
    def is_lent(self) -> bool:
        return False

    def lend(self, child: Home) -> bool:
        return False


class FolderHome:
    """Of a session that outlives the server."""

    def __init__(self, path: Path, disk: Disk, objects: ObjectStore, tenant: str) -> None:
        self.path = path
        self._disk = disk
        self._objects = objects
        self._tenant = tenant
        self._captures: dict[bytes, Array] = {}
        self._digests: set[bytes] | None = None

    def graph_digests(self) -> tuple[bytes, ...]:
        return tuple(sorted(self._known()))

    def add_graph(self, digest: bytes, graph: Graph) -> None:
        known = self._known()
        with translated("keeping a graph of the session"):
            self._disk.make_folder(self.path / "graphs")
            replace_file(self._disk, self._graph_path(digest), canonical.encode(graph))
        known.add(digest)

    def graph(self, digest: bytes) -> Graph | None:
        if digest not in self._known():
            return None
        with translated("reading a graph of the session"):
            graph = canonical.decode(read_file(self._disk, self._graph_path(digest)))
        if canonical.digest(graph) != digest:
            raise CorruptCheckpoint("a graph of the session is damaged", cure="register it again")
        return graph

    def capture(self, digest: bytes) -> Array:
        if digest not in self._captures:
            path = self.path / "objects" / digest.hex()
            with translated("holding an object"):
                if self._disk.stat(path) is None:
                    self._disk.make_folder(path.parent)
                    self._objects.hold(self._tenant, digest, path)
                self._captures[digest] = map_tensor(self._disk, path)
        return self._captures[digest]

    def open(self, name: str, *, create: bool = False) -> int:
        return self._disk.open(self.path / name, create=create)

    def adopt(self, name: str) -> None:
        self._disk.rename(self.path / f"{name}.new", self.path / name)
        for old in ("base", "origin"):
            self._disk.unlink(self.path / old)

    @property
    def is_lent(self) -> bool:
        found = self._disk.stat(self.path / "state")
        return found is not None and found.st_nlink > 1

    @property
    def is_fork(self) -> bool:
        """Whether the state lies in a parent's file."""
        return self._disk.stat(self.path / "origin") is not None

    def lend(self, child: Home) -> bool:
        if not isinstance(child, FolderHome):
            return False
        name = "state" if self._disk.stat(self.path / "state") is not None else "base"
        self._disk.link(self.path / name, child.path / "base")
        return True

    def bury(self, stone: bytes) -> None:
        """Leave nothing but a tombstone; safe to do again after any interruption."""
        with translated("closing the session"):
            replace_file(self._disk, self.path / "tombstone", stone)
            self.clear()

    def clear(self) -> None:
        """Take away what a tombstone makes useless."""
        for name in ("log", "state", "base", "origin"):
            self._disk.unlink(self.path / name)
        for name in self._disk.names(self.path):
            if name.startswith("batches-"):
                self._disk.unlink(self.path / name)
        for name in ("graphs", "objects", "snapshots"):
            remove_tree(self._disk, self.path / name)

    def _known(self) -> set[bytes]:
        """Digests of the graphs in the folder, listed once."""
        if self._digests is None:
            with translated("listing the graphs of the session"):
                names = self._disk.names(self.path / "graphs")
            self._digests = {bytes.fromhex(name) for name in names if _GRAPH.fullmatch(name)}
        return self._digests

    def _graph_path(self, digest: bytes) -> Path:
        return self.path / "graphs" / digest.hex()
