"""Boards: the shared memory of runs, used again and again, bounded in bytes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.errors import ErrorCode, Overloaded
from chainrule_server.workers.events import Resource
from chainrule_server.workers.memory import Region
from chainrule_server.workers.pool import Pool

# An eighth between sizes: few distinct ones, so a board is found again, and little is wasted.
_STEPS = 8
_SMALLEST = 64 * 1024


class Board:
    """A region and the id by which workers know it. Its content is arbitrary at first."""

    __slots__ = ("region", "resource")

    def __init__(self, region: Region, resource_id: int) -> None:
        self.region = region
        self.resource = Resource(resource_id, region.fd, 0, region.nbytes, writable=True)

    @property
    def view(self) -> memoryview:
        return self.region.view


class Boards:
    """Lends boards. Thread-safe.

    Fresh pages are slow, so a board that comes back is kept, in this process and mapped in the workers;
    the least recently used go when the bound asks for it.
    """

    def __init__(self, pool: Pool, limit_bytes: int) -> None:
        """Nothing is allocated yet.

        Args:
            pool: whose workers map them.
            limit_bytes: of all boards, lent or kept.
        """
        self._pool = pool
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._kept: dict[int, Board] = {}  # by resource id, the least recently used first
        self._total = 0

    @property
    def total_bytes(self) -> int:
        """Of all boards there are."""
        return self._total

    @contextmanager
    def lend(self, nbytes: int) -> Iterator[Board]:
        """A board of at least `nbytes`.

        Raises:
            Overloaded: the bound or the machine's memory is reached.
        """
        board = self._take(rounded(nbytes))
        try:
            yield board
        finally:
            with self._lock:
                self._kept[board.resource.id] = board

    def close(self) -> None:
        """Give all kept boards back."""
        with self._lock:
            boards = list(self._kept.values())
            self._kept.clear()
        for board in boards:
            self._end(board)

    def _take(self, nbytes: int) -> Board:
        leaving = []
        with self._lock:
            for board in reversed(self._kept.values()):
                if board.region.nbytes == nbytes:
                    return self._kept.pop(board.resource.id)
            idle = sum(board.region.nbytes for board in self._kept.values())
            if self._total - idle + nbytes > self._limit:
                raise Overloaded(
                    f"a board of {nbytes} bytes, where {self._limit - self._total + idle} of "
                    f"{self._limit} are free",
                    code=ErrorCode.OVERLOADED,
                    cure="try again later, or send a smaller batch",
                    limit=self._limit,
                    value=nbytes,
                )
            excess = self._total + nbytes - self._limit
            while excess > 0:
                board = self._kept.pop(next(iter(self._kept)))
                excess -= board.region.nbytes
                self._total -= board.region.nbytes
                leaving.append(board)
            self._total += nbytes
        try:
            for board in leaving:
                self._drop(board)
            return Board(Region("chainrule-board", nbytes), self._pool.new_id())
        except BaseException:
            with self._lock:
                self._total -= nbytes
            raise

    def _end(self, board: Board) -> None:
        with self._lock:
            self._total -= board.region.nbytes
        self._drop(board)

    def _drop(self, board: Board) -> None:
        self._pool.forget(board.resource.id)
        board.region.close()


def rounded(nbytes: int) -> int:
    """The size of the board that is lent for so many bytes: at most 1/8 more, above 64 KiB."""
    if nbytes <= _SMALLEST:
        return _SMALLEST
    step = 1 << ((nbytes - 1).bit_length() - 1)
    step //= _STEPS
    return -(-nbytes // step) * step
