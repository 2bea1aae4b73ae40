"""The queue before the workers: fair between tenants, bounded, and aware of deadlines.

Start-time fair queueing: a call's turn is its tenant's virtual time plus its predicted cost, so one tenant
with a hundred calls delays another by one of them. A call whose predicted wait is longer than its time is
refused at once, while its caller can still go elsewhere.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chainrule.errors import Cancelled, ChainruleError, DeadlineExceeded, Overloaded

# How fast new measurements move the prediction; it decides only who waits, never a bit.
_SMOOTHING = 0.1


class FairQueue:
    """Turns on a number of slots.

    Args:
        slots: calls that run at once.
        length: calls that may wait.
        flops_per_s: what a slot is taken to do until it has been seen to work.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        slots: int,
        length: int = 256,
        flops_per_s: float = 1e9,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._length = length
        self._clock = clock
        self._changed = threading.Condition()
        self._free = slots
        self._turns: list[tuple[float, int]] = []
        self._number = itertools.count()
        self._virtual = 0.0
        self._finish: dict[str, float] = {}
        self._pending_s = 0.0
        self._flops_per_s = flops_per_s

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        with self._changed:
            return len(self._turns)

    def predict_s(self, flops: float) -> float:
        """Seconds that so many operations take here, by what was seen."""
        return flops / self._flops_per_s + 1e-3

    @contextmanager
    def turn(
        self,
        tenant: str,
        flops: float,
        deadline: float,
        is_cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[None]:
        """Wait for a slot and hold it inside the block.

        Raises:
            Overloaded: the queue is full or the wait would outlast the deadline.
            DeadlineExceeded, Cancelled: while waiting.
        """
        cost_s = self.predict_s(flops)
        self._wait(tenant, cost_s, deadline, is_cancelled)
        started = self._clock()
        try:
            yield
            if flops > 1e6:
                seen = flops / max(self._clock() - started, 1e-6)
                self._flops_per_s += _SMOOTHING * (seen - self._flops_per_s)
        finally:
            with self._changed:
                self._free += 1
                self._pending_s -= cost_s
                self._changed.notify_all()

    def wake(self) -> None:
        """Have waiting calls look at their cancellation again."""
        with self._changed:
            self._changed.notify_all()

    def _wait(
        self, tenant: str, cost_s: float, deadline: float, is_cancelled: Callable[[], bool]
    ) -> None:
        with self._changed:
            self._admit(deadline)
            start = max(self._virtual, self._finish.get(tenant, 0.0))
            self._finish[tenant] = start + cost_s
            turn = (start, next(self._number))
            heapq.heappush(self._turns, turn)
            self._pending_s += cost_s
            try:
                while self._turns[0] != turn or not self._free:
                    if is_cancelled():
                        raise Cancelled("the caller has gone away")
                    left = deadline - self._clock()
                    if left <= 0:
                        raise DeadlineExceeded("the deadline passed while the call waited its turn")
                    self._changed.wait(left)
            except ChainruleError:
                self._pending_s -= cost_s
                raise
            else:
                self._free -= 1
                self._virtual = start
            finally:
                self._turns.remove(turn)
                heapq.heapify(self._turns)
                self._changed.notify_all()
            if not self._turns and self._free == self._slots - 1:
                # Nobody else is here: a tenant owes nothing to those who have left.
                self._finish = {tenant: self._finish[tenant]}

    def _admit(self, deadline: float) -> None:
        wait_s = self._pending_s / self._slots if not self._free else 0.0
        left_s = deadline - self._clock()
        if left_s <= 0:
            raise DeadlineExceeded("the deadline passed before the call got a turn")
        is_full = not self._free and len(self._turns) >= self._length
        if is_full or wait_s > left_s:
            raise Overloaded(
                f"{len(self._turns)} calls wait, about {wait_s:.1f} s of work;"
                f" this one has {left_s:.1f} s",
                cure="send it again a little later, or with a longer timeout",
                retry_after_s=max(0.1, min(wait_s, 30.0)),
            )
