"""An object on its way in: chunks in order, resumable after a lost connection or a lost server.

The file itself is the record. Its name holds upload id, digest and declared size, its length is the
committed offset, so a server that comes back knows all there is to know.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chainrule.errors import ErrorCode, GraphError
from chainrule.ir.avals import DType
from chainrule.ir.tensors import decode_header, decode_tensor
from chainrule_server.storage.disk import Disk

_PIECE = 1 << 20
_NAME = re.compile("([0-9a-f]{32})-([0-9a-f]{64})-([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of an object. The caller has checked the chunk's own checksum, where it had one.

    Attributes:
        upload_id: the client's 16 bytes, the same for all chunks.
        digest: SHA-256 of the whole object.
        total: bytes of the whole object.
        offset: of this chunk in it.
    """

    upload_id: bytes
    digest: bytes
    total: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """Bytes received without a gap, and whether the object is whole and proven."""

    committed: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload as its file tells it."""

    path: Path
    upload_id: bytes
    digest: bytes
    total: int
    committed: int

    @classmethod
    def name(cls, upload_id: bytes, digest: bytes, total: int) -> str:
        """The file's name."""
        return f"{upload_id.hex()}-{digest.hex()}-{total}"

    @classmethod
    def listed(cls, disk: Disk, folder: Path) -> "Iterator[Upload]":
        """Every upload of a folder."""
        for name in disk.names(folder):
            match, found = _NAME.fullmatch(name), disk.stat(folder / name)
            if match is not None and found is not None:
                ids = bytes.fromhex(match[1]), bytes.fromhex(match[2])
                yield cls(folder / name, *ids, int(match[3]), found.st_size)


def append(disk: Disk, upload: Upload, chunk: Chunk) -> int:
    """Add a chunk and give the committed offset. A chunk received before changes nothing.

    Raises:
        GraphError: bytes before this chunk are missing, or it goes past the end (CHUNK_SEQUENCE).
        OSError: the bytes that were committed before stay.
    """
    end = chunk.offset + len(chunk.data)
    if chunk.offset > upload.committed or end > upload.total:
        raise GraphError(
            f"a chunk of bytes {chunk.offset} to {end} of an object of {upload.total} bytes,"
            f" of which {upload.committed} have arrived",
            code=ErrorCode.CHUNK_SEQUENCE,
            cure=f"go on at offset {upload.committed}",
            committed=upload.committed,
        )
    if end <= upload.committed:
        return upload.committed
    fd = disk.open(upload.path, create=True)
    try:
        disk.write(fd, chunk.data, chunk.offset)
    except OSError:
        # A write that stopped half-way would count as committed: its length is the record.
        disk.truncate(fd, upload.committed)
        raise
    finally:
        disk.close(fd)
    return end


def prove(disk: Disk, path: Path, digest: bytes) -> None:
    """Read a whole object back and check digest and form.

    Raises:
        GraphError: other bytes than the digest names, or bytes that are no tensor.
    """
    fd = disk.open(path)
    try:
        size = disk.size(fd)
        sha = hashlib.sha256()
        for offset in range(0, size, _PIECE):
            sha.update(disk.read(fd, _PIECE, offset))
        mapped = disk.map(fd, size)
    finally:
        disk.close(fd)
    if sha.digest() != digest:
        raise GraphError(
            f"the {size} bytes of the upload have the digest {sha.hexdigest()}",
            code=ErrorCode.BAD_FIELD,
            field="digest",
            cure="upload the object again",
        )
    aval, _ = decode_header(memoryview(mapped))
    if aval.dtype is DType.BOOL and (decode_tensor(memoryview(mapped)).view(np.uint8) > 1).any():
        raise GraphError(
            "a bool tensor with bytes other than 0 and 1",
            code=ErrorCode.BAD_FIELD,
            field="data",
            cure="send 0 for false and 1 for true",
        )
