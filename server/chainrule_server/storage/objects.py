"""Content-addressed tensors, by tenant: put once, named by digest, kept while somebody needs them.

An object may be collected when no session holds a second name of its file, its lease has run out, and the
tenant's bytes are needed for another one; the longest unused goes first. A hold is a hard link in the
folder of its session, so what a session needs lives exactly as long as the session, in every crash.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chainrule.errors import ErrorCode, GraphError, NotFound, Overloaded
from chainrule.ir.tensors import MAGIC, Array, decode_tensor, encode_tensor, tensor_digest
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.failures import translated
from chainrule_server.storage.files import read_range, replace_file
from chainrule_server.storage.uploads import Chunk, Progress, Upload, append, prove

_FINISHED_KEPT = 1024
_BLOCK = 4096
_OBJECT = re.compile("[0-9a-f]{64}")


@dataclass(slots=True)
class _Entry:
    nbytes: int
    used: float
    leased_until: float = 0.0


class _Shelf:
    """One tenant's objects and uploads; `lock` is held for every look and every change."""

    def __init__(self, folder: Path, uploads: Path, disk: Disk, now: float) -> None:
        self.lock = threading.Lock()
        self.folder = folder
        self.entries: dict[bytes, _Entry] = {}
        self.finished: OrderedDict[bytes, int] = OrderedDict()
        self.uploads_folder = uploads
        disk.make_folder(folder)
        disk.make_folder(uploads)
        for name in disk.names(folder):
            found = disk.stat(folder / name)
            if name.endswith(".new"):
                disk.unlink(folder / name)
            elif found is not None and _OBJECT.fullmatch(name):
                # Before any use of this run, in the order of their writing.
                self.entries[bytes.fromhex(name)] = _Entry(found.st_size, found.st_mtime - 1e12)
        self.uploads = {u.upload_id: u for u in Upload.listed(disk, uploads)}
        self.upload_used = dict.fromkeys(self.uploads, now)

    def path(self, digest: bytes) -> Path:
        return self.folder / digest.hex()

    @property
    def nbytes(self) -> int:
        """What the files take on the device; a million tiny ones are not for nothing."""
        kept = sum(_taken(entry.nbytes) for entry in self.entries.values())
        return kept + sum(_taken(upload.total) for upload in self.uploads.values())


class ObjectStore:
    """Objects of all tenants.

    Args:
        place: gives the folder of a tenant for "objects" and for "uploads".
        disk: where they lie.
        quota_bytes: per tenant, in blocks of 4 KiB; uploads count with the size they declare.
        lease_s: how long an object stays at least after it was put or asked for.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        place: Callable[[str, str], Path],
        disk: Disk,
        *,
        quota_bytes: int,
        lease_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lease_s = lease_s
        self._place = place
        self._disk = disk
        self._quota_bytes = quota_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._shelves: dict[str, _Shelf] = {}

    def has(self, tenant: str, digests: Sequence[bytes]) -> tuple[bool, ...]:
        """Which objects are there; those are leased for `lease_s`."""
        shelf = self._shelf(tenant)
        with shelf.lock:
            return tuple(self._touch(shelf, digest) for digest in digests)

    def put(self, tenant: str, chunk: Chunk) -> Progress:
        """Add a chunk; the last one proves the whole and makes it an object. Idempotent.

        Raises:
            GraphError: out of order (CHUNK_SEQUENCE), wrong digest or form (BAD_FIELD, BYTE_LENGTH).
            Overloaded: the tenant's bytes are used up (QUOTA), or the disk is full (STORAGE_FULL).
        """
        shelf = self._shelf(tenant)
        with shelf.lock, translated("storing an object"):
            if self._touch(shelf, chunk.digest):
                return Progress(chunk.total, True)
            upload = self._upload(shelf, chunk)
            committed = append(self._disk, upload, chunk)
            upload = Upload(upload.path, upload.upload_id, upload.digest, upload.total, committed)
            shelf.uploads[chunk.upload_id] = upload
            shelf.upload_used[chunk.upload_id] = self._clock()
            if committed == upload.total:
                self._finish(shelf, upload)
            return Progress(committed, committed == upload.total)

    def progress(self, tenant: str, upload_id: bytes) -> Progress:
        """How far an upload has come; 0 for one that isn't known."""
        shelf = self._shelf(tenant)
        with shelf.lock:
            if upload_id in shelf.finished:
                return Progress(shelf.finished[upload_id], True)
            upload = shelf.uploads.get(upload_id)
            return Progress(upload.committed if upload else 0, False)

    def add(self, tenant: str, array: Array) -> bytes:
        """Store an array of the server's own and give its digest; leased as if it had been put.

        Raises:
            Overloaded: QUOTA or STORAGE_FULL.
        """
        shelf, digest = self._shelf(tenant), tensor_digest(array)
        with shelf.lock, translated("storing an object"):
            if not self._touch(shelf, digest):
                data = encode_tensor(array)
                self._make_room(shelf, len(data))
                replace_file(self._disk, shelf.path(digest), data)
                self._enter(shelf, digest, len(data))
        return digest

    def size(self, tenant: str, digest: bytes) -> int:
        """Bytes of an object.

        Raises:
            NotFound: this tenant has none by that digest.
        """
        shelf = self._shelf(tenant)
        with shelf.lock:
            if not self._touch(shelf, digest):
                raise NotFound(f"no object {digest.hex()}", cure="put it first")
            return shelf.entries[digest].nbytes

    def read(self, tenant: str, digest: bytes, offset: int, n: int) -> bytes:
        """n bytes of an object from offset; fewer only at its end.

        Raises:
            NotFound: this tenant has none by that digest.
        """
        self.size(tenant, digest)
        with translated("reading an object"):
            fd = self._disk.open(self._shelf(tenant).path(digest))
            try:
                return read_range(self._disk, fd, offset, n)
            finally:
                self._disk.close(fd)

    def array(self, tenant: str, digest: bytes) -> Array:
        """The tensor, a read-only view of the mapped file; it stays whole when collected meanwhile.

        It isn't aligned, and alignment can move bits: copy it before computing with it.

        Raises:
            NotFound: OBJECT_MISSING, with the digest in `missing`.
        """
        shelf = self._shelf(tenant)
        with shelf.lock, translated("reading an object"):
            if not self._touch(shelf, digest):
                raise _missing(digest)
            return map_tensor(self._disk, shelf.path(digest))

    def hold(self, tenant: str, digest: bytes, path: Path) -> None:
        """Give an object a second name; it isn't collected as long as that exists.

        Raises:
            NotFound: OBJECT_MISSING, with the digest in `missing`.
        """
        shelf = self._shelf(tenant)
        with shelf.lock, translated("holding an object"):
            if not self._touch(shelf, digest):
                raise _missing(digest)
            if self._disk.stat(path) is None:
                self._disk.link(shelf.path(digest), path)

    def _shelf(self, tenant: str) -> _Shelf:
        with self._lock:
            shelf = self._shelves.get(tenant)
            if shelf is None:
                with translated("opening the object store"):
                    places = self._place("objects", tenant), self._place("uploads", tenant)
                    shelf = self._shelves[tenant] = _Shelf(*places, self._disk, self._clock())
            return shelf

    def _touch(self, shelf: _Shelf, digest: bytes) -> bool:
        entry = shelf.entries.get(digest)
        if entry is None:
            return False
        entry.used = self._clock()
        entry.leased_until = entry.used + self.lease_s
        return True

    def _enter(self, shelf: _Shelf, digest: bytes, nbytes: int) -> None:
        shelf.entries[digest] = _Entry(nbytes, self._clock())
        self._touch(shelf, digest)

    def _upload(self, shelf: _Shelf, chunk: Chunk) -> Upload:
        found = shelf.uploads.get(chunk.upload_id)
        if found is not None:
            if (found.digest, found.total) != (chunk.digest, chunk.total):
                raise GraphError(
                    "this upload id belongs to an object of another digest or size",
                    code=ErrorCode.CHUNK_SEQUENCE,
                    field="upload_id",
                    cure="give every upload 16 random bytes of its own",
                )
            return found
        if chunk.total < len(MAGIC) + 2:
            raise GraphError(
                f"an object of {chunk.total} bytes can't be a tensor",
                code=ErrorCode.BYTE_LENGTH,
                field="total",
                cure="put the tensor's header and data (docs/protocol.md, Objects)",
            )
        self._make_room(shelf, chunk.total)
        path = shelf.uploads_folder / Upload.name(chunk.upload_id, chunk.digest, chunk.total)
        return Upload(path, chunk.upload_id, chunk.digest, chunk.total, 0)

    def _finish(self, shelf: _Shelf, upload: Upload) -> None:
        try:
            prove(self._disk, upload.path, upload.digest)
        except GraphError:
            self._drop(shelf, upload)
            raise
        self._disk.rename(upload.path, shelf.path(upload.digest))
        del shelf.uploads[upload.upload_id], shelf.upload_used[upload.upload_id]
        self._enter(shelf, upload.digest, upload.total)
        shelf.finished[upload.upload_id] = upload.total
        if len(shelf.finished) > _FINISHED_KEPT:
            shelf.finished.popitem(last=False)

    def _drop(self, shelf: _Shelf, upload: Upload) -> None:
        self._disk.unlink(upload.path)
        shelf.uploads.pop(upload.upload_id, None)
        shelf.upload_used.pop(upload.upload_id, None)

    def _make_room(self, shelf: _Shelf, nbytes: int) -> None:
        """Collect the longest unused until nbytes fit the tenant's quota."""
        now, nbytes = self._clock(), _taken(nbytes)
        if shelf.nbytes + nbytes > self._quota_bytes:
            for upload in [u for i, u in shelf.uploads.items() if self._is_stale(shelf, i, now)]:
                self._drop(shelf, upload)
        for digest in sorted(shelf.entries, key=lambda d: shelf.entries[d].used):
            if shelf.nbytes + nbytes <= self._quota_bytes:
                return
            if shelf.entries[digest].leased_until <= now and not self._is_held(shelf, digest):
                self._disk.unlink(shelf.path(digest))
                del shelf.entries[digest]
        if shelf.nbytes + nbytes > self._quota_bytes:
            raise Overloaded(
                f"{nbytes} bytes more than the {shelf.nbytes} in use or leased"
                f" pass the quota of {self._quota_bytes}",
                code=ErrorCode.QUOTA,
                cure="close sessions that hold objects, or wait until leases have run out",
                limit=self._quota_bytes,
                value=shelf.nbytes + nbytes,
                retry_after_s=self.lease_s,
            )

    def _is_stale(self, shelf: _Shelf, upload_id: bytes, now: float) -> bool:
        return shelf.upload_used[upload_id] + self.lease_s <= now

    def _is_held(self, shelf: _Shelf, digest: bytes) -> bool:
        found = self._disk.stat(shelf.path(digest))
        return found is not None and found.st_nlink > 1


def map_tensor(disk: Disk, path: Path) -> Array:
    """The tensor of an object's file, a read-only view of its mapping.

    Raises:
        FileNotFoundError: there is none.
    """
    fd = disk.open(path)
    try:
        return decode_tensor(memoryview(disk.map(fd, disk.size(fd))))
    finally:
        disk.close(fd)


def _taken(nbytes: int) -> int:
    return -(-nbytes // _BLOCK) * _BLOCK


def _missing(digest: bytes) -> NotFound:
    return NotFound(
        f"no object {digest.hex()}",
        code=ErrorCode.OBJECT_MISSING,
        cure="put it, then send the same request again",
        missing=(digest,),
    )
