"""Which sessions a tenant has: read off its folder when the tenant is first met."""

import re
import threading
from pathlib import Path

from chainrule.errors import (
    CorruptCheckpoint,
    ErrorCode,
    NameTaken,
    Overloaded,
    SessionError,
)
from chainrule_server.sessions.home import FolderHome
from chainrule_server.sessions.limits import SessionLimits
from chainrule_server.sessions.manifest import Manifest, decode_manifest
from chainrule_server.sessions.record import Record, decode_record
from chainrule_server.sessions.turns import not_found
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.failures import translated
from chainrule_server.storage.files import read_file, remove_tree
from chainrule_server.storage.objects import ObjectStore

_ID = re.compile("[0-9a-f]{32}")
_UNFINISHED = ".new-"


class Catalog:
    """Ids and names of one tenant. `lock` is held for every look and every change.

    Attributes:
        manifests: of the sessions that are open.
        stones: the last record of each that is closed; an id is never used again.
        damaged: why a session can't be read; the others are served.
        making: held by a Create from its first look to its end.
    """

    def __init__(self, path: Path, disk: Disk, objects: ObjectStore, tenant: str) -> None:
        self.lock = threading.RLock()
        self.making = threading.Lock()
        self.manifests: dict[bytes, Manifest] = {}
        self.stones: dict[bytes, Record] = {}
        self.damaged: dict[bytes, str] = {}
        self._names: dict[str, bytes] = {}
        self._path = path
        self._disk = disk
        self._objects = objects
        self._tenant = tenant
        with translated("listing the sessions"):
            disk.make_folder(path)
            for name in disk.names(path):
                if name.startswith(_UNFINISHED):
                    remove_tree(disk, path / name)
                elif _ID.fullmatch(name):
                    self._read(bytes.fromhex(name))

    def home(self, session_id: bytes) -> FolderHome:
        """The folder of a session."""
        return self._home(session_id.hex())

    def nursery(self, session_id: bytes) -> FolderHome:
        """The folder of a session that isn't finished; gone at the next start."""
        return self._home(_UNFINISHED + session_id.hex())

    def check_new(self, session_id: bytes, wanted: str, limits: SessionLimits) -> None:
        """That a Create or Fork may make a session with this id and name.

        Raises:
            SessionError: the id was used and closed (SESSION_CLOSED), or is in use (NAME_TAKEN).
            Overloaded: as many sessions as the tenant may have (QUOTA).
        """
        if session_id in self.stones:
            raise SessionError(
                "a session with this id was closed",
                code=ErrorCode.SESSION_CLOSED,
                field="session_id",
                cure="create it with 16 new random bytes",
            )
        if session_id in self.manifests or session_id in self.damaged:
            raise NameTaken(
                "another Create or Fork has made a session with this id",
                field="session_id",
                cure="create it with 16 new random bytes",
            )
        if wanted and wanted in self._names:
            raise NameTaken(
                f"the name {wanted} belongs to another session",
                field="name",
                cure="open that session by its name, close it, or take another name",
            )
        if len(self.manifests) >= limits.sessions_per_tenant:
            raise Overloaded(
                f"{len(self.manifests)} sessions are open",
                code=ErrorCode.QUOTA,
                cure="close sessions that are no longer needed",
                limit=limits.sessions_per_tenant,
                value=len(self.manifests) + 1,
            )

    def add(self, manifest: Manifest) -> None:
        """A session is there."""
        self.manifests[manifest.session_id] = manifest
        if manifest.name:
            self._names[manifest.name] = manifest.session_id

    def bury(self, session_id: bytes, stone: Record) -> None:
        """A session is closed: its name is free, its id never again."""
        manifest = self.manifests.pop(session_id, None)
        if manifest is not None and manifest.name:
            self._names.pop(manifest.name, None)
        self.stones[session_id] = stone

    def named(self, name: str) -> bytes:
        """The id of a session by its name.

        Raises:
            NotFound: none has it.
        """
        if name not in self._names:
            raise not_found()
        return self._names[name]

    def _home(self, name: str) -> FolderHome:
        return FolderHome(self._path / name, self._disk, self._objects, self._tenant)

    def _read(self, session_id: bytes) -> None:
        home = self.home(session_id)
        if self._disk.stat(home.path / "tombstone") is not None:
            stone = decode_record(read_file(self._disk, home.path / "tombstone"))
            if stone is None:
                self.damaged[session_id] = "its tombstone is damaged"
            else:
                self.stones[session_id] = stone
                home.clear()
            return
        try:
            self.add(decode_manifest(read_file(self._disk, home.path / "manifest")))
        except FileNotFoundError:
            self.damaged[session_id] = "its manifest is missing"
        except CorruptCheckpoint as error:
            self.damaged[session_id] = error.fact
