"""Whose turn it is: one operation at a time, in the order of the ledger; early ones wait, bounded."""

import threading
import time
from collections.abc import Callable

from chainrule.errors import (
    Cancelled,
    ChainruleError,
    DeadlineExceeded,
    ErrorCode,
    NotFound,
    Unavailable,
)
from chainrule_server.sessions.order import Kept, Ledger, Turn
from chainrule_server.sessions.types import Caller, OpHeader
from chainrule_server.workers.cancellation import Cancellation


class Budget:
    """Bytes that waiting operations of all sessions may hold together."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self._lock = threading.Lock()

    def take(self, nbytes: int) -> bool:
        """Reserve, or say that there is no room."""
        with self._lock:
            if nbytes > self._left:
                return False
            self._left -= nbytes
            return True

    def give(self, nbytes: int) -> None:
        """Give back."""
        with self._lock:
            self._left += nbytes


class Turns:
    """The queue in front of a session.

    Attributes:
        lock: guards ledger, log and header; waits are on it.
        running: stops what has the turn; None while nobody has it.
        is_applying: what has the turn is an operation, not a reader.
    """

    def __init__(
        self, ledger: Ledger, budget: Budget, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.lock = threading.Condition(threading.RLock())
        self.running: Cancellation | None = None
        self.is_applying = False
        self.is_draining = False
        self._ledger = ledger
        self._budget = budget
        self._clock = clock
        self._held = 0

    def take(self, caller: Caller, header: OpHeader, nbytes: int) -> Kept | Cancellation:
        """Wait for the turn of an operation; Kept where it was applied before.

        Returns with the turn taken, and the wish to stop that the operation must obey: the caller's, or of
        one who takes the session over.

        Raises:
            SessionError: as `Ledger.admit`; StepGap also when the deadline comes before the predecessors.
            DeadlineExceeded, Cancelled, Unavailable: while it waited.
        """
        is_held = False
        unsubscribe = caller.cancel.subscribe(self._wake)
        try:
            with self.lock:
                while True:
                    turn = self._ledger.admit(header)
                    if isinstance(turn, Kept):
                        return turn
                    self._check_serving()
                    if turn is Turn.APPLY and self.running is None:
                        self._ledger.begin()
                        return self._begin(caller, is_applying=True)
                    if turn is Turn.HOLD and not is_held:
                        self._hold(header, nbytes)
                        is_held = True
                    self._wait(caller, header if turn is Turn.HOLD else None)
        finally:
            unsubscribe()
            if is_held:
                self._let_go(nbytes)

    def take_reading(self, caller: Caller, after_seq: int) -> Cancellation:
        """Wait until operation `after_seq` is applied and nobody has the turn, and take it.

        Raises:
            DeadlineExceeded, Cancelled, Unavailable: while it waited.
        """
        unsubscribe = caller.cancel.subscribe(self._wake)
        try:
            with self.lock:
                while self.running is not None or self._ledger.seq < after_seq:
                    self._check_serving()
                    self._wait(caller, None)
                self._check_serving()
                return self._begin(caller, is_applying=False)
        finally:
            unsubscribe()

    def give(self) -> None:
        """The turn is over; whoever waits looks again."""
        with self.lock:
            self.running = None
            self.lock.notify_all()

    def drain(self, deadline: float) -> bool:
        """Refuse from now on, and wait until nobody has the turn; False at the deadline."""
        with self.lock:
            self.is_draining = True
            self.lock.notify_all()
            while self.running is not None:
                left = deadline - self._clock()
                if left <= 0:
                    return False
                self.lock.wait(left)
            return True

    def fence(self) -> None:
        """Stop the operation that has the turn: it is of an older epoch and can't be committed."""
        with self.lock:
            if self.running is not None and self.is_applying:
                self.running.set()
            self.lock.notify_all()

    def _begin(self, caller: Caller, *, is_applying: bool) -> Cancellation:
        self.running, self.is_applying = Cancellation(), is_applying
        caller.cancel.subscribe(self.running.set)
        return self.running

    def _hold(self, header: OpHeader, nbytes: int) -> None:
        # Two requests a number: one under way, and the resend of a client that lost its connection.
        if self._held >= 2 * self._ledger.window or not self._budget.take(nbytes):
            raise self._ledger.gap(header.seq)
        self._held += 1

    def _let_go(self, nbytes: int) -> None:
        with self.lock:
            self._held -= 1
        self._budget.give(nbytes)

    def _wait(self, caller: Caller, held: OpHeader | None) -> None:
        if caller.cancel.is_set:
            raise Cancelled("the caller gave up while the call waited for its turn")
        left = caller.deadline - self._clock()
        if left <= 0:
            if held is not None:
                raise self._ledger.gap(held.seq)
            raise DeadlineExceeded(
                "the deadline passed while the call waited for its turn",
                cure="send the same request again with a later deadline",
                **self._ledger.facts(),
            )
        self.lock.wait(left)

    def _wake(self) -> None:
        with self.lock:
            self.lock.notify_all()

    def _check_serving(self) -> None:
        if self._ledger.is_closed:
            raise not_found()
        if self.is_draining:
            raise Unavailable(
                "the server is going down",
                code=ErrorCode.DRAINING,
                cure="send the same request again in a second",
                retry_after_s=1.0,
            )


def not_found() -> ChainruleError:
    """One text for an id that was never there, is another tenant's or is closed: no oracle."""
    return NotFound("no such session", cure="check the id and the token, or create the session")
