"""The stages before a servicer, in their order, and the gate before the workers.

    connection limits and TLS (gRPC) -> draining -> token -> deadline -> size by call -> bytes arriving
      -> scan -> parse                                                            `Door.open`
    canonical check and validation                                                `graphs.GraphStore`
    shapes and cost (the plan) -> quota -> bytes running -> queue -> workers      `Door.run`

What waits here holds bytes of the budget for arrivals and nothing of the one for runs, so that two calls
can't hold what the other one needs.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from chainrule.calls import MAX_DEADLINE_S, Call, Resend
from chainrule.errors import (
    DeadlineExceeded,
    ErrorCode,
    InvalidGraph,
    LimitExceeded,
    Overloaded,
    Unavailable,
)
from chainrule.ir.limits import Limits
from chainrule.wire.prescan import budget_for, scan
from chainrule_server.door.budget import ByteBudget
from chainrule_server.door.queue import FairQueue
from chainrule_server.door.request import Arrival, Request
from chainrule_server.door.tokens import Tokens

Body = TypeVar("Body", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the door lets in.

    Attributes:
        graph: of a graph.
        nbytes: of all calls in flight, a quarter for what arrives and the rest for runs.
        threads: of gRPC; operations of sessions hold at most half of them.
        slots: runs at once.
    """

    graph: Limits
    nbytes: int
    threads: int
    slots: int


class Door:
    """The one way in.

    Args:
        tokens: who may come.
        bounds: how much.
        clock: monotonic seconds.
    """

    def __init__(
        self, tokens: Tokens, bounds: Bounds, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.bounds = bounds
        self.arriving = ByteBudget(bounds.nbytes // 4, patience_s=2.0, clock=clock)
        self.running = ByteBudget(bounds.nbytes - bounds.nbytes // 4, clock=clock)
        self.queue = FairQueue(bounds.slots, clock=clock)
        self._tokens = tokens
        self._clock = clock
        self._budget = budget_for(bounds.graph)
        self._draining = threading.Event()
        self._operations = threading.BoundedSemaphore(max(1, bounds.threads // 2))

    @property
    def is_open(self) -> bool:
        """False once the server drains."""
        return not self._draining.is_set()

    def close(self) -> None:
        """Refuse new calls; those inside go on."""
        self._draining.set()

    @contextmanager
    def open(self, call: Call[Body, Reply], arrival: Arrival) -> Iterator[Request[Body]]:
        """Let a call in for the length of the block.

        Raises:
            ChainruleError: of the first stage that refuses it.
        """
        if self._draining.is_set():
            raise Unavailable(
                "the server is about to stop",
                code=ErrorCode.DRAINING,
                cure="send it again; the next server goes on from here",
                retry_after_s=1.0,
            )
        tenant = self._tokens.tenant(arrival.authorization) if call.needs_token else "anybody"
        deadline = self._deadline(arrival)
        check_size(call, len(arrival.data))
        arrival.cancel.subscribe(self._wake)
        with (
            self._operation() if call.resend is Resend.UNTIL_ANSWERED else nullcontext(),
            self.arriving.reserve(len(arrival.data), deadline, lambda: arrival.cancel.is_set),
        ):
            scan(arrival.data, call.request, self._budget)
            body = parse(call, arrival.data)
            yield Request(body, tenant, deadline, arrival.cancel, arrival.request_id)

    @contextmanager
    def run(self, request: Request[Body], nbytes: int, flops: float) -> Iterator[None]:
        """Hold the bytes and the turn of a run for the length of the block.

        Args:
            request: the call that runs.
            nbytes: what its plan takes in all workers, and its result.
            flops: of its plan.

        Raises:
            LimitExceeded: more than the server has for all calls (COST_BYTES).
            Overloaded, DeadlineExceeded, Cancelled: while waiting.
        """
        with (
            self.running.reserve(nbytes, request.deadline, lambda: request.cancel.is_set),
            self.queue.turn(request.tenant, flops, request.deadline, lambda: request.cancel.is_set),
        ):
            yield

    def _deadline(self, arrival: Arrival) -> float:
        # Python's gRPC has neither a bound of its own nor a word to the handler when time is up.
        left_s = MAX_DEADLINE_S if arrival.left_s is None else min(arrival.left_s, MAX_DEADLINE_S)
        if left_s <= 0:
            raise DeadlineExceeded(
                "the deadline had passed when the call arrived",
                cure="give it more time (timeout_s=)",
            )
        return self._clock() + left_s

    @contextmanager
    def _operation(self) -> Iterator[None]:
        if not self._operations.acquire(blocking=False):
            raise Overloaded(
                "half of the server's threads hold operations of sessions",
                cure="send it again a little later; the same bytes",
                retry_after_s=0.1,
            )
        try:
            yield
        finally:
            self._operations.release()

    def _wake(self) -> None:
        self.arriving.wake()
        self.running.wake()
        self.queue.wake()


def check_size(call: Call[Body, Reply], nbytes: int) -> None:
    """Refuse a request above its call's bound.

    Raises:
        LimitExceeded: MESSAGE_TOO_LARGE.
    """
    if nbytes > call.request_bytes:
        raise LimitExceeded(
            f"a {call.method} request of {nbytes} bytes, above {call.request_bytes}",
            code=ErrorCode.MESSAGE_TOO_LARGE,
            cure="put large arrays as objects and name them by digest",
            limit=call.request_bytes,
            value=nbytes,
        )


def parse(call: Call[Body, Reply], data: bytes) -> Body:
    """The message of scanned bytes.

    Raises:
        InvalidGraph: the scan found the form right, but a text is no UTF-8 (MALFORMED_MESSAGE).
    """
    try:
        return call.request.FromString(data)
    except DecodeError:
        raise InvalidGraph(
            f"the bytes are no {call.request.DESCRIPTOR.name}",
            code=ErrorCode.MALFORMED_MESSAGE,
            cure="encode the request with the protos of chainrule.v1, text as UTF-8",
        ) from None
