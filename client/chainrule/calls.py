"""Every RPC as one row: its path, messages, bounds and how it may be sent again.

Door, clients and tests read this table; nothing else knows a method by name. Requests and replies
cross gRPC as raw bytes, so that each side looks at them before it parses.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from chainrule.errors import ErrorCode, LimitExceeded, ServerFault
from chainrule.proto.v1 import gradient_pb2 as gradient
from chainrule.proto.v1 import object_pb2 as objects
from chainrule.proto.v1 import server_pb2 as server
from chainrule.proto.v1 import session_pb2 as session

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


_V1 = "/chainrule.v1."
_FREELY, _BY_ID, _OP = Resend.FREELY, Resend.BY_ID, Resend.UNTIL_ANSWERED
_SMALL = 64 * KIB

# One RPC a row: path, request, reply, bytes of both, seconds, resend.
GET_INFO = Call(
    _V1 + "ServerService/GetInfo",
    server.GetInfoRequest,
    server.GetInfoResponse,
    KIB,
    MIB,
    10.0,
    _FREELY,
)
REGISTER = Call(
    _V1 + "GradientService/Register",
    gradient.RegisterRequest,
    gradient.RegisterResponse,
    2 * GRAPH_BYTES,
    KIB,
    60.0,
    _FREELY,
)
COMPUTE = Call(
    _V1 + "GradientService/Compute",
    gradient.ComputeRequest,
    gradient.ComputeResponse,
    MESSAGE_BYTES,
    MESSAGE_BYTES,
    60.0,
    _FREELY,
)
ESTIMATE = Call(
    _V1 + "GradientService/Estimate",
    gradient.EstimateRequest,
    gradient.EstimateResponse,
    MESSAGE_BYTES,
    MESSAGE_BYTES,
    60.0,
    _FREELY,
)
EXPLAIN = Call(
    _V1 + "GradientService/Explain",
    gradient.ExplainRequest,
    gradient.ExplainResponse,
    MESSAGE_BYTES,
    MESSAGE_BYTES,
    60.0,
    _FREELY,
)
DERIVE = Call(
    _V1 + "GradientService/Derive",
    gradient.DeriveRequest,
    gradient.DeriveResponse,
    MESSAGE_BYTES,
    MESSAGE_BYTES,
    60.0,
    _FREELY,
)
RELEASE = Call(
    _V1 + "GradientService/Release",
    gradient.ReleaseRequest,
    gradient.ReleaseResponse,
    KIB,
    KIB,
    10.0,
    _FREELY,
)
CREATE = Call(
    _V1 + "SessionService/Create",
    session.CreateRequest,
    session.CreateResponse,
    MESSAGE_BYTES,
    MIB,
    60.0,
    _BY_ID,
)
OPEN = Call(
    _V1 + "SessionService/Open",
    session.OpenRequest,
    session.OpenResponse,
    _SMALL,
    MIB,
    60.0,
    _BY_ID,
)
STEP = Call(
    _V1 + "SessionService/Step",
    session.StepRequest,
    session.StepResponse,
    MESSAGE_BYTES,
    MESSAGE_BYTES,
    60.0,
    _OP,
)
FORWARD_BACKWARD = Call(
    _V1 + "SessionService/ForwardBackward",
    session.ForwardBackwardRequest,
    session.ForwardBackwardResponse,
    MESSAGE_BYTES,
    MESSAGE_BYTES,
    60.0,
    _OP,
)
OPTIM_STEP = Call(
    _V1 + "SessionService/OptimStep",
    session.OptimStepRequest,
    session.OptimStepResponse,
    2 * CURSOR_BYTES,
    MIB,
    60.0,
    _OP,
)
DISCARD_GRADIENTS = Call(
    _V1 + "SessionService/DiscardGradients",
    session.DiscardGradientsRequest,
    session.DiscardGradientsResponse,
    2 * CURSOR_BYTES,
    MIB,
    60.0,
    _OP,
)
SET_STATE = Call(
    _V1 + "SessionService/SetState",
    session.SetStateRequest,
    session.SetStateResponse,
    MESSAGE_BYTES,
    MIB,
    60.0,
    _OP,
)
SAVE = Call(
    _V1 + "SessionService/Save",
    session.SaveRequest,
    session.SaveResponse,
    2 * CURSOR_BYTES,
    MIB,
    60.0,
    _OP,
)
RESTORE = Call(
    _V1 + "SessionService/Restore",
    session.RestoreRequest,
    session.RestoreResponse,
    2 * CURSOR_BYTES,
    MIB,
    60.0,
    _OP,
)
LIST_CHECKPOINTS = Call(
    _V1 + "SessionService/ListCheckpoints",
    session.ListCheckpointsRequest,
    session.ListCheckpointsResponse,
    _SMALL,
    MESSAGE_BYTES,
    10.0,
    _FREELY,
)
FORK = Call(
    _V1 + "SessionService/Fork",
    session.ForkRequest,
    session.ForkResponse,
    _SMALL,
    MIB,
    60.0,
    _BY_ID,
)
GET_LOG = Call(
    _V1 + "SessionService/GetLog",
    session.GetLogRequest,
    session.GetLogResponse,
    KIB,
    MESSAGE_BYTES,
    60.0,
    _FREELY,
)
EVALUATE = Call(
    _V1 + "SessionService/Evaluate",
    session.EvaluateRequest,
    session.EvaluateResponse,
    MESSAGE_BYTES,
    MESSAGE_BYTES,
    60.0,
    _FREELY,
)
GET_STATE = Call(
    _V1 + "SessionService/GetState",
    session.GetStateRequest,
    session.GetStateResponse,
    MIB,
    MESSAGE_BYTES,
    60.0,
    _FREELY,
)
LIST = Call(
    _V1 + "SessionService/List",
    session.ListRequest,
    session.ListResponse,
    _SMALL,
    MESSAGE_BYTES,
    10.0,
    _FREELY,
)
CLOSE = Call(
    _V1 + "SessionService/Close",
    session.CloseRequest,
    session.CloseResponse,
    2 * CURSOR_BYTES,
    MIB,
    60.0,
    _OP,
)
HAS = Call(
    _V1 + "ObjectService/Has",
    objects.HasRequest,
    objects.HasResponse,
    _SMALL,
    _SMALL,
    10.0,
    _FREELY,
)
PUT = Call(
    _V1 + "ObjectService/Put",
    objects.PutRequest,
    objects.PutResponse,
    CHUNK_BYTES + KIB,
    KIB,
    60.0,
    _BY_ID,
)
QUERY_UPLOAD = Call(
    _V1 + "ObjectService/QueryUpload",
    objects.QueryUploadRequest,
    objects.QueryUploadResponse,
    KIB,
    KIB,
    10.0,
    _FREELY,
)
GET = Call(
    _V1 + "ObjectService/Get",
    objects.GetRequest,
    objects.GetResponse,
    KIB,
    CHUNK_BYTES + KIB,
    60.0,
    _FREELY,
)

CALLS: dict[str, Call[Message, Message]] = {
    call.path: call  # type: ignore[misc]  # messages are only read through this table
    for call in (
        GET_INFO,
        REGISTER,
        COMPUTE,
        ESTIMATE,
        EXPLAIN,
        DERIVE,
        RELEASE,
        CREATE,
        OPEN,
        STEP,
        FORWARD_BACKWARD,
        OPTIM_STEP,
        DISCARD_GRADIENTS,
        SET_STATE,
        SAVE,
        RESTORE,
        LIST_CHECKPOINTS,
        FORK,
        GET_LOG,
        EVALUATE,
        GET_STATE,
        LIST,
        CLOSE,
        HAS,
        PUT,
        QUERY_UPLOAD,
        GET,
    )
}
