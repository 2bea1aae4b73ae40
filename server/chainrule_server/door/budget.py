"""Bytes in flight: a semaphore weighed in bytes, first come first served."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chainrule.errors import Cancelled, DeadlineExceeded, ErrorCode, LimitExceeded, Overloaded


class ByteBudget:
    """Reservations that never add up to more than `total`.

    Args:
        total: bytes.
        patience_s: how long a reservation waits at most, whatever its deadline.
        clock: monotonic seconds.
    """

    def __init__(
        self, total: int, patience_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total = total
        self._patience_s = patience_s
        self._clock = clock
        self._changed = threading.Condition()
        self._used = 0
        self._waiting: deque[object] = deque()

    @property
    def used(self) -> int:
        """Bytes reserved now."""
        return self._used

    @contextmanager
    def reserve(
        self, nbytes: int, deadline: float, is_cancelled: Callable[[], bool] = lambda: False
    ) -> Iterator[None]:
        """Hold nbytes inside the block.

        Raises:
            LimitExceeded: more than the whole budget (COST_BYTES).
            Overloaded: no room within the patience (OVERLOADED, with retry_after_s).
            DeadlineExceeded, Cancelled: before there was room.
        """
        if nbytes > self.total:
            raise LimitExceeded(
                f"the call needs {nbytes} bytes, the server has {self.total} for all calls",
                code=ErrorCode.COST_BYTES,
                cure="send a smaller batch or graph, or give the server more memory",
                limit=self.total,
                value=nbytes,
            )
        self._take(nbytes, deadline, is_cancelled)
        try:
            yield
        finally:
            self.give(nbytes)

    def hold(self, nbytes: int) -> None:
        """Count bytes that a running reservation holds already and that stay when it ends."""
        with self._changed:
            self._used += nbytes

    def give(self, nbytes: int) -> None:
        """Give back what was held."""
        with self._changed:
            self._used -= nbytes
            self._changed.notify_all()

    def wake(self) -> None:
        """Have waiting reservations look at their cancellation again."""
        with self._changed:
            self._changed.notify_all()

    def _take(self, nbytes: int, deadline: float, is_cancelled: Callable[[], bool]) -> None:
        until = min(deadline, self._clock() + self._patience_s)
        place = object()
        with self._changed:
            self._waiting.append(place)
            try:
                while self._waiting[0] is not place or self._used + nbytes > self.total:
                    if is_cancelled():
                        raise Cancelled("the caller has gone away")
                    left = until - self._clock()
                    if left <= 0:
                        raise self._refusal(nbytes, deadline)
                    self._changed.wait(left)
                self._used += nbytes
            finally:
                self._waiting.remove(place)
                self._changed.notify_all()

    def _refusal(self, nbytes: int, deadline: float) -> Overloaded | DeadlineExceeded:
        if deadline <= self._clock():
            return DeadlineExceeded("the deadline passed while the call waited for memory")
        return Overloaded(
            f"{self._used} of {self.total} bytes are in use, the call needs {nbytes}",
            cure="send it again a little later",
            limit=self.total,
            value=self._used + nbytes,
            retry_after_s=1.0,
        )
