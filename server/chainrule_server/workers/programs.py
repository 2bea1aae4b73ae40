"""Programs as the workers get them: encoded once, in shared memory, kept while they are used."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule_server.workers.events import Resource
from chainrule_server.workers.interfaces import ProgramLike
from chainrule_server.workers.memory import Region
from chainrule_server.workers.pool import Pool


class _Entry:
    """A program, its bytes in a memfd, and how many runs use them now."""

    __slots__ = ("program", "region", "resource", "users")

    def __init__(self, program: ProgramLike, region: Region, resource: Resource) -> None:
        self.program = program  # held, so that its id() is nobody else's
        self.region = region
        self.resource = resource
        self.users = 0


class Programs:
    """Gives each program object its resource. Thread-safe.

    A program is known by identity: the compiler's cache gives the same object for the same request.
    """

    def __init__(self, pool: Pool, limit: int) -> None:
        """Nothing is kept yet.

        Args:
            pool: whose workers load them.
            limit: programs kept beyond those in use.
        """
        self._pool = pool
        self._limit = limit
        self._lock = threading.Lock()
        self._entries: OrderedDict[int, _Entry] = OrderedDict()

    @contextmanager
    def use(self, program: ProgramLike) -> Iterator[Resource]:
        """The program's bytes, for the time of a run.

        Raises:
            Overloaded: there is no memory for them.
        """
        with self._lock:
            entry = self._entries.get(id(program))
            if entry is None:
                entry = self._entries[id(program)] = self._make(program)
            self._entries.move_to_end(id(program))
            entry.users += 1
        try:
            yield entry.resource
        finally:
            with self._lock:
                entry.users -= 1
                leaving = self._surplus()
            for old in leaving:
                self._end(old)

    def close(self) -> None:
        """Forget all; nobody uses any."""
        with self._lock:
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            self._end(entry)

    def _make(self, program: ProgramLike) -> _Entry:
        data = program.encode()
        region = Region("chainrule-program", max(1, len(data)))
        region.view[: len(data)] = data
        resource = Resource(self._pool.new_id(), region.fd, 0, region.nbytes, writable=False)
        return _Entry(program, region, resource)

    def _surplus(self) -> list[_Entry]:
        idle = [key for key, entry in self._entries.items() if not entry.users]
        excess = max(0, len(self._entries) - self._limit)
        return [self._entries.pop(key) for key in idle[:excess]]

    def _end(self, entry: _Entry) -> None:
        self._pool.forget(entry.resource.id)
        entry.region.close()
