"""A call that is inside: parsed, with its caller, its deadline and a way to be told to stop."""

import time
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from google.protobuf.message import Message

from chainrule_server.workers.cancellation import Cancellation

Body = TypeVar("Body", bound=Message)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What gRPC says of a call before anything is looked at.

    Attributes:
        data: the raw bytes.
        authorization: the header, None where there was none.
        request_id: hex, the name of the call in the log.
        left_s: what the client's deadline leaves; None: it has none.
        cancel: set when the client is gone.
    """

    data: bytes
    authorization: str | None
    request_id: str
    left_s: float | None
    cancel: Cancellation


@dataclass(frozen=True, slots=True)
class Request(Generic[Body]):
    """A parsed call.

    Attributes:
        body: its message.
        tenant: who calls.
        deadline: monotonic seconds; the server's own bound is in it.
        cancel: set when the client is gone.
        request_id: hex.
    """

    body: Body
    tenant: str
    deadline: float
    cancel: Cancellation
    request_id: str

    def within(self, deadline_ms: int) -> "Request[Body]":
        """The same call with no more than so much time from now; 0: as much as it had."""
        if not deadline_ms:
            return self
        return replace(self, deadline=min(self.deadline, time.monotonic() + deadline_ms / 1000))
