"""The state of a session: one file, two buffers, a header.

A step reads buffer v mod 2 and writes the other one, through shared mappings in the workers. Nothing it
writes counts before the log has its record. Every block is allocated when the file is made: a store
through a mapping can't meet a full disk.
"""

import mmap
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from chainrule.ir.operations import state_digest
from chainrule.ir.tensors import Array, data_view, tensor_digest
from chainrule_server.sessions.header import (
    SLOT_BYTES,
    StateHeader,
    decode_header,
    encode_stamp,
    stamp_offset,
)
from chainrule_server.sessions.layout import StateLayout
from chainrule_server.storage.disk import Disk
from chainrule_server.storage.files import read_range


@dataclass(frozen=True, slots=True)
class Buffers:
    """The two buffers of a file as a run needs them; `workers.interfaces.StateRegions`."""

    read_fd: int
    read_offset: int
    write_fd: int
    write_offset: int
    nbytes: int
    key: bytes


class StateFile:
    """Buffers and header behind a descriptor that this object owns."""

    def __init__(
        self,
        disk: Disk,
        fd: int,
        layout: StateLayout,
        buffer_offset: int,
        header_fd: int | None = None,
    ) -> None:
        # A fork's buffers lie in its parent's file until it writes; its headers never do.
        self.is_borrowed = header_fd is not None
        self._header_fd = fd if header_fd is None else header_fd
        self.layout = layout
        # Another descriptor may be another file: no worker may mistake an old mapping for this one.
        self.key = os.urandom(16)
        # Leaves known to be equal in both buffers; after a start that is none.
        self.twins: set[str] = set()
        self._disk = disk
        self._fd = fd
        self._start = buffer_offset
        self._span = _paged(layout.nbytes, buffer_offset)

    @classmethod
    def create(cls, disk: Disk, fd: int, layout: StateLayout) -> "StateFile":
        """Allocate both buffers in an empty file.

        Raises:
            OSError: the disk has no room for them.
        """
        offset = max(mmap.PAGESIZE, 4 * SLOT_BYTES)
        disk.allocate(fd, offset + 2 * _paged(layout.nbytes, offset))
        return cls(disk, fd, layout, offset)

    @classmethod
    def renewed(cls, old: "StateFile", fd: int, layout: StateLayout) -> "StateFile":
        """Like `create`, in a file that a failed try may have left bytes in.

        Raises:
            OSError: the disk has no room for them.
        """
        old._disk.truncate(fd, 0)
        return cls.create(old._disk, fd, layout)

    def drop(self, fd: int) -> None:
        """Close a descriptor of a file that wasn't made."""
        self._disk.close(fd)

    @property
    def is_grown(self) -> bool:
        """Whether there is room for gradients."""
        return any(name.split("/")[0] == "grads" for name in self.layout.names)

    @property
    def buffer_offset(self) -> int:
        """Of buffer 0 in the file."""
        return self._start

    @property
    def nbytes(self) -> int:
        """Of the whole file."""
        return self._start + 2 * self._span

    def close(self) -> None:
        """Give the descriptor back; workers keep their own."""
        self._disk.close(self._fd)
        if self.is_borrowed:
            self._disk.close(self._header_fd)

    def sync(self) -> None:
        """Until both buffers and the header are on the device."""
        self._disk.sync(self._fd)
        if self.is_borrowed:
            self._disk.sync(self._header_fd)

    def buffers(self, version: int) -> Buffers:
        """What a step from this version reads and where it writes the next."""
        read, write = self._buffer(version), self._buffer(version + 1)
        return Buffers(self._fd, read, self._fd, write, self.layout.nbytes, self.key)

    def read(self, version: int, name: str) -> Array:
        """A copy of one leaf."""
        leaf = self.layout.leaf(name)
        offset = self._buffer(version) + leaf.offset
        data = read_range(self._disk, self._fd, offset, leaf.aval.nbytes)
        return np.frombuffer(data, leaf.aval.dtype.numpy).reshape(leaf.aval.dims)

    def write(self, version: int, arrays: Iterable[tuple[str, Array]]) -> None:
        """Store leaves in the buffer of a version. dtype and shape have been checked."""
        for name, array in arrays:
            offset = self._buffer(version) + self.layout.leaf(name).offset
            self._disk.write(self._fd, data_view(array), offset)

    def spoil(self, names: Iterable[str]) -> None:
        """These leaves of the other buffer are about to be written."""
        self.twins.difference_update(names)

    def carry(self, version: int, names: Iterable[str]) -> None:
        """Make these leaves of the next version what they are in this one, where they aren't already."""
        for name in names:
            if name not in self.twins:
                self.write(version + 1, [(name, self.read(version, name))])
                self.twins.add(name)

    def digest(self, version: int, names: Iterable[str]) -> bytes:
        """Digest over names and tensors; reads the whole buffer."""
        return state_digest([(name, tensor_digest(self.read(version, name))) for name in names])

    def write_header(self, header: StateHeader) -> None:
        """The slot whose turn it is."""
        self._disk.write(self._header_fd, header.encode(), header.slot_offset)

    def stamp(self, version: int, chain: bytes) -> None:
        """Say which operation made a version; before that operation is in the log."""
        self._disk.write(self._header_fd, encode_stamp(version, chain), stamp_offset(version))

    def is_made_by(self, version: int, chain: bytes) -> bool:
        """Whether a version's buffer has the stamp of that operation."""
        wanted = encode_stamp(version, chain)
        return self._disk.read(self._header_fd, len(wanted), stamp_offset(version)) == wanted

    def _buffer(self, version: int) -> int:
        return self._start + self._span * (version % 2)


def names_of(layout: StateLayout, *, with_gradients: bool) -> tuple[str, ...]:
    """The leaves that are the state; gradients only while some have accumulated."""
    return tuple(n for n in layout.names if with_gradients or n.split("/")[0] != "grads")


def read_headers(disk: Disk, fd: int) -> tuple[StateHeader, ...]:
    """The intact headers of a state file, the newest first."""
    found = (decode_header(disk.read(fd, SLOT_BYTES, k * SLOT_BYTES)) for k in (0, 1))
    intact = [header for header in found if header is not None]
    return tuple(sorted(intact, key=lambda header: -header.serial))


def _paged(nbytes: int, page: int) -> int:
    return max(-(-nbytes // page), 1) * page
