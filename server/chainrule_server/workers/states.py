"""Session state files as resources: who maps what is known by the file's key."""

import threading
from collections import OrderedDict
from typing import TypeAlias

from chainrule_server.workers.events import Resource
from chainrule_server.workers.interfaces import StateRegions
from chainrule_server.workers.pool import Pool

_Range: TypeAlias = tuple[int, int, bool]  # offset, nbytes, writable


class States:
    """Gives each buffer of each file its id. Thread-safe.

    The buffer that is read is mapped read-only: a kernel that wrote to committed state would be stopped.
    """

    def __init__(self, pool: Pool, limit: int) -> None:
        """Nothing is known yet.

        Args:
            pool: whose workers map them.
            limit: files remembered; the least recently used are forgotten.
        """
        self._pool = pool
        self._limit = limit
        self._lock = threading.Lock()
        self._ids: OrderedDict[bytes, dict[_Range, int]] = OrderedDict()

    def resources(self, state: StateRegions) -> tuple[Resource, Resource]:
        """The buffer to read and the one to write."""
        with self._lock:
            ids = self._ids.setdefault(state.key, {})
            self._ids.move_to_end(state.key)
            read = self._resource(ids, state.read_fd, (state.read_offset, state.nbytes, False))
            write = self._resource(ids, state.write_fd, (state.write_offset, state.nbytes, True))
            leaving = [
                self._ids.popitem(last=False)[1] for _ in range(len(self._ids) - self._limit)
            ]
        for old in leaving:
            self._drop(old)
        return read, write

    def forget(self, key: bytes) -> None:
        """Have the workers unmap a file that no run names any more."""
        with self._lock:
            ids = self._ids.pop(key, {})
        self._drop(ids)

    def _resource(self, ids: dict[_Range, int], fd: int, where: _Range) -> Resource:
        if where not in ids:
            ids[where] = self._pool.new_id()
        return Resource(ids[where], fd, *where)

    def _drop(self, ids: dict[_Range, int]) -> None:
        for resource_id in ids.values():
            self._pool.forget(resource_id)
