"""What an RPC is: its path, messages, bounds and how it may be sent again.

Requests and replies cross gRPC as raw bytes, so that each side looks at them before it parses.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from chainrule.errors import ErrorCode, LimitExceeded, ServerFault

KIB, MIB = 2**10, 2**20
MESSAGE_BYTES = 8 * MIB
GRAPH_BYTES = 4 * MIB
CHUNK_BYTES = MIB
# A tensor above this goes as an object: what is left of a message holds the graph and the rest.
INLINE_TENSOR_BYTES = 2 * MIB
CURSOR_BYTES = 64 * KIB
MAX_DEADLINE_S = 600.0


class Resend(Enum):
    """How a call may be sent again after a failure that says nothing of its outcome."""

    FREELY = "it changes nothing"
    BY_ID = "its request or upload id makes the second one a replay"
    UNTIL_ANSWERED = "an operation of a session: the same bytes until a definite answer"


Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)


@dataclass(frozen=True, slots=True)
class Call(Generic[Request, Reply]):
    """One RPC.

    Attributes:
        path: as gRPC names it.
        request, reply: message classes.
        request_bytes, reply_bytes: bounds of the encoded messages.
        deadline_s: what the client asks for where the caller says nothing.
        resend: what a client may do after a lost answer.
        needs_token: False for what anyone who can connect may ask.
    """

    path: str
    request: type[Request]
    reply: type[Reply]
    request_bytes: int
    reply_bytes: int
    deadline_s: float
    resend: Resend
    needs_token: bool = True

    @property
    def service(self) -> str:
        """`chainrule.v1.GradientService`."""
        return self.path.split("/")[1]

    @property
    def method(self) -> str:
        """`Compute`."""
        return self.path.split("/")[2]

    def encode_request(self, message: Request) -> bytes:
        """The bytes to send.

        Raises:
            LimitExceeded: above the call's bound (MESSAGE_TOO_LARGE); nothing was sent.
        """
        return _bounded(
            message.SerializeToString(), self.request_bytes, f"the {self.method} request"
        )

    def encode_reply(self, message: Reply) -> bytes:
        """The bytes to answer with.

        Raises:
            LimitExceeded: above the call's bound (RESPONSE_TOO_LARGE).
        """
        data = message.SerializeToString()
        if len(data) > self.reply_bytes:
            raise LimitExceeded(
                f"the answer of {self.method} takes {len(data)} bytes, more than {self.reply_bytes}",
                code=ErrorCode.RESPONSE_TOO_LARGE,
                cure="ask for less at once, or let large results come as objects",
                limit=self.reply_bytes,
                value=len(data),
            )
        return data

    def decode_reply(self, data: bytes) -> Reply:
        """The message of an answer.

        Raises:
            ServerFault: the bytes are no such message.
        """
        try:
            return self.reply.FromString(data)
        except DecodeError as error:
            raise ServerFault(
                f"the answer of {self.method} is no {self.reply.DESCRIPTOR.name}",
                cure="check that the address is a chainrule server of a version near this client's",
            ) from error


def _bounded(data: bytes, limit: int, what: str) -> bytes:
    if len(data) > limit:
        raise LimitExceeded(
            f"{what} takes {len(data)} bytes, more than {limit}",
            code=ErrorCode.MESSAGE_TOO_LARGE,
            cure="put large arrays as objects first (the client does for arrays above "
            f"{INLINE_TENSOR_BYTES // MIB} MiB), or send less at once",
            limit=limit,
            value=len(data),
        )
    return data
