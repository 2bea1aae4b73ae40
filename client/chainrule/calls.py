"""Every RPC as one row: its path, messages, bounds and how it may be sent again.

Door, clients and tests read this table; nothing else knows a method by name.
"""

from google.protobuf.message import Message

from chainrule.call import CHUNK_BYTES as CHUNK_BYTES
from chainrule.call import CURSOR_BYTES as CURSOR_BYTES
from chainrule.call import GRAPH_BYTES as GRAPH_BYTES
from chainrule.call import INLINE_TENSOR_BYTES as INLINE_TENSOR_BYTES
from chainrule.call import KIB as KIB
from chainrule.call import MAX_DEADLINE_S as MAX_DEADLINE_S
from chainrule.call import MESSAGE_BYTES as MESSAGE_BYTES
from chainrule.call import MIB as MIB
from chainrule.call import Call as Call
from chainrule.call import Resend as Resend
from chainrule.proto.v1 import gradient_pb2 as gradient
from chainrule.proto.v1 import object_pb2 as objects
from chainrule.proto.v1 import server_pb2 as server
from chainrule.proto.v1 import session_pb2 as session

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
VERIFY = Call(
    _V1 + "GradientService/Verify",
    gradient.VerifyRequest,
    gradient.VerifyResponse,
    MESSAGE_BYTES,
    MIB,
    60.0,
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
        VERIFY,
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
