"""A call that is inside: parsed, with its caller, its deadline and a way to be told to stop."""

from dataclasses import dataclass
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
