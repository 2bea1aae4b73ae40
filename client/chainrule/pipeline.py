"""The operations of one session on their way: numbered, chained, sent until each is answered.

Every operation is sent as the same bytes until the server answers or refuses it: after a lost
connection, through a restart, for as long as it takes. A caller may stop waiting; the operation goes
on. The chain C_n is kept here, so the next operation is sent before the last one is answered.
"""

import asyncio
import queue
import secrets
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from chainrule.calls import MAX_DEADLINE_S, Call
from chainrule.errors import (
    Applied,
    Cancelled,
    ChainruleError,
    DeadlineExceeded,
    ErrorCode,
    Fenced,
    Retry,
    SessionError,
    StepConflict,
)
from chainrule.ir.operations import next_chain
from chainrule.transport import Backoff, Transport, is_transient
from chainrule.wire.records import Header

T = TypeVar("T")

# After these the session object can't go on: what the server holds isn't what was sent here.
_ENDS = frozenset(
    {
        ErrorCode.FENCED,
        ErrorCode.SESSION_CLOSED,
        ErrorCode.STEPS_LOST,
        ErrorCode.HISTORY_MISMATCH,
        ErrorCode.STEP_CONFLICT,
        ErrorCode.STEP_TOO_OLD,
        ErrorCode.NOT_FOUND,
        ErrorCode.CORRUPT_CHECKPOINT,
        ErrorCode.NUMERICS_CHANGED,
    }
)

_OF_CHECKPOINTS = (ErrorCode.CORRUPT_CHECKPOINT, ErrorCode.NUMERICS_CHANGED)
_UPDATES = ("Step", "OptimStep")

# A thread without work ends; a session that pauses for long begins with a new one.
_IDLE_S = 5.0


class Pending(Future[T]):
    """The answer to an operation under way: `.result()` waits for it, and so does `await`."""

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self).__await__()


@dataclass(slots=True, eq=False)
class Operation(Generic[T]):
    """One operation, as long as it isn't answered.

    Attributes:
        header: its identity and order.
        chain: C_n once it is applied.
        call: the row of the table.
        data: the encoded request.
        decode: the answer's bytes and C_n to the caller's value.
        recover: mends what a refusal says is missing, and tells whether it did; the bytes stay.
        timeout_s: of the first attempt; later ones get twice the last, up to the server's cap.
        answer: what the caller waits for.
        doomed: an operation that it follows was refused; an answer is awaited, not wanted.
    """

    header: Header
    chain: bytes
    call: Call[Any, Any]
    data: bytes
    decode: Callable[[bytes, bytes], T]
    recover: Callable[[ChainruleError], bool]
    timeout_s: float
    answer: Pending[T] = field(default_factory=Pending)
    doomed: ChainruleError | None = None


class Pipeline:
    """Numbers and sends operations; at most `window` are unanswered.

    Args:
        transport: the channel.
        session_id: 16 bytes.
        epoch, next_seq, chain: as Create or Open gave them.
        window: how many operations may be under way; more wait.
    """

    def __init__(
        self,
        transport: Transport,
        session_id: bytes,
        *,
        epoch: int,
        next_seq: int,
        chain: bytes,
        window: int,
    ) -> None:
        self._transport = transport
        self._session_id = session_id
        self._epoch, self._seq, self._chain = epoch, next_seq, chain
        self._window = window
        self._state = threading.Condition()
        self._under_way: list[Operation[Any]] = []
        self._end: ChainruleError | None = None
        self._work: queue.SimpleQueue[Operation[Any]] = queue.SimpleQueue()
        self._threads = 0

    @property
    def under_way(self) -> int:
        """How many operations are unanswered."""
        with self._state:
            return len(self._under_way)

    @property
    def updates_under_way(self) -> int:
        """How many of them will count as a step."""
        with self._state:
            return sum(o.call.method in _UPDATES for o in self._under_way)

    def submit(
        self,
        call: Call[Any, Any],
        digest: bytes,
        encode: Callable[[Header], bytes],
        decode: Callable[[bytes, bytes], T],
        *,
        recover: Callable[[ChainruleError], bool],
        cursor: bytes = b"",
        timeout_s: float | None = None,
    ) -> Pending[T]:
        """Gives the operation its number and sends it; waits only while the window is full.

        Args:
            call: the row of the table.
            digest: of the operation.
            encode: makes the request's bytes, given the header.
            decode: makes the caller's value of the answer's bytes and of C_n.
            recover: see `Operation`.
            cursor: opaque bytes that the server keeps with the operation.
            timeout_s: of the first attempt; None takes the table's.

        Raises:
            SessionError: the session can't go on; open it again.
        """
        with self._state:
            # A new operation may not take a number whose doomed holder is still unanswered: were it
            # the same as the refused one, that holder would fit behind it and be applied.
            self._state.wait_for(self._has_room)
            if self._end is not None:
                raise _again(self._end)
            header = Header(
                session_id=self._session_id,
                epoch=self._epoch,
                seq=self._seq,
                prev=self._chain,
                request_id=secrets.token_bytes(16),
                digest=digest,
                client_cursor=cursor,
                receipts=1,
            )
            operation = Operation(
                header,
                next_chain(self._chain, digest),
                call,
                encode(header),
                decode,
                recover,
                call.deadline_s if timeout_s is None else timeout_s,
            )
            self._seq, self._chain = self._seq + 1, operation.chain
            self._under_way.append(operation)
            self._start(operation)
            return operation.answer

    def settle(self, timeout_s: float | None = None) -> bool:
        """Waits until nothing is under way; False if that took longer than `timeout_s`."""
        with self._state:
            return self._state.wait_for(lambda: not self._under_way, timeout_s)

    def _has_room(self) -> bool:
        if self._end is not None:
            return True
        return len(self._under_way) < self._window and not any(
            operation.doomed for operation in self._under_way
        )

    def _start(self, operation: Operation[Any]) -> None:
        if self._threads < len(self._under_way):
            self._threads += 1
            # Daemons: a server that never comes back must not keep the interpreter from ending.
            threading.Thread(
                target=self._send_all, name="chainrule-operations", daemon=True
            ).start()
        self._work.put(operation)

    def _send_all(self) -> None:
        while True:
            operation = self._next()
            if operation is None:
                return
            try:
                value = operation.decode(self._send(operation), operation.chain)
            except ChainruleError as error:
                self._refused(operation, error)
            except BaseException as error:
                self._refused(operation, _broken(error))
            else:
                self._applied(operation, value)

    def _next(self) -> Operation[Any] | None:
        """The next operation for this thread; None ends it, after some seconds without one."""
        with suppress(queue.Empty):
            return self._work.get(timeout=_IDLE_S)
        with self._state:
            # Operations are handed over under this lock, so none can slip in unseen.
            with suppress(queue.Empty):
                return self._work.get_nowait()
            self._threads -= 1
        return None

    def _send(self, operation: Operation[Any]) -> bytes:
        backoff, timeout_s, recovered = Backoff(), operation.timeout_s, 0
        while True:
            try:
                return self._transport.once(operation.call, operation.data, timeout_s)
            except ChainruleError as error:
                if self._transport.closed:
                    raise _unknown(operation) from error
                if operation.doomed is not None and error.code is ErrorCode.STEP_GAP:
                    raise  # the server waits for a predecessor that will never come
                if error.code is ErrorCode.DEADLINE and error.applied is Applied.UNKNOWN:
                    timeout_s = min(2 * timeout_s, MAX_DEADLINE_S)
                elif recovered < 3 and operation.recover(error):
                    recovered += 1
                elif not is_transient(error):
                    raise
                pause = backoff.pause_s(error)
            if self._transport.wait(pause):
                raise _unknown(operation)

    def _applied(self, operation: Operation[Any], value: Any) -> None:
        with self._state:
            self._under_way.remove(operation)
            self._state.notify_all()
        # Doomed operations have been refused to their callers already.
        if not operation.answer.done():
            operation.answer.set_result(value)

    def _refused(self, operation: Operation[Any], error: ChainruleError) -> None:
        losers: list[Operation[Any]] = []
        with self._state:
            self._under_way.remove(operation)
            if operation.doomed is None:
                if _ends(operation, error) or error.applied is Applied.UNKNOWN:
                    self._end = error
                if error.applied is not Applied.YES:
                    losers = self._roll_back(operation, error)
            self._state.notify_all()
        if not operation.answer.done():
            operation.answer.set_exception(error)
        for later in losers:
            if not later.answer.done():
                later.answer.set_exception(_predecessor(operation, error))

    def _roll_back(self, operation: Operation[Any], error: ChainruleError) -> list[Operation[Any]]:
        """A refused operation takes no number; those sent after it go with it."""
        self._seq, self._chain = operation.header.seq, operation.header.prev
        losers = [
            later
            for later in self._under_way
            if later.header.seq > operation.header.seq and later.doomed is None
        ]
        for later in losers:
            later.doomed = error
        return losers

    def wait(self, answer: Pending[T], timeout_s: float | None) -> T:
        """The answer, if it comes in time.

        Raises:
            DeadlineExceeded: it didn't; the operation stays under way.
            ChainruleError: it was refused.
        """
        begin = time.monotonic()
        try:
            return answer.result(timeout_s)
        except TimeoutError:
            waited = time.monotonic() - begin
            raise DeadlineExceeded(
                f"the operation got no answer within {waited:.3g} s; it is still being sent",
                cure="wait with session.settle() instead of sending it again, "
                "or pass a larger timeout_s=",
                retry=Retry.NEVER,
                applied=Applied.UNKNOWN,
            ) from None


def _ends(operation: Operation[Any], error: ChainruleError) -> bool:
    """Whether the session object can't go on: a checkpoint that is gone or damaged isn't the session."""
    is_about_it = operation.call.method == "Restore" and error.code in _OF_CHECKPOINTS
    return error.code in _ENDS and not is_about_it


def _again(end: ChainruleError) -> ChainruleError:
    """What ended the session, for an operation that comes after it."""
    kind = type(end) if isinstance(end, Fenced | StepConflict) else SessionError
    return kind(
        f"the session has ended here: {end.fact}",
        code=end.code,
        cure=end.cure or "open it again: client.open_session(id)",
        retry=end.retry,
        request_id=end.request_id,
        **end.facts,
    )


def _predecessor(failed: Operation[Any], error: ChainruleError) -> StepConflict:
    return StepConflict(
        f"operation {failed.header.seq}, which this one follows, was refused: {error.fact}",
        code=ErrorCode.PREDECESSOR_FAILED,
        cure="mend that one and send this one again after it",
        failed_seq=failed.header.seq,
    )


def _unknown(operation: Operation[Any]) -> Cancelled:
    return Cancelled(
        f"the client was closed before operation {operation.header.seq} was answered",
        cure="open the session again: next_step tells whether it was applied",
        applied=Applied.UNKNOWN,
    )


def _broken(error: BaseException) -> ChainruleError:
    return ChainruleError(
        f"the answer could not be read: {type(error).__name__}: {error}",
        cure="report this as a bug of the client",
        applied=Applied.UNKNOWN,
    )
