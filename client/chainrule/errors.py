"""Every way a request can fail, as exceptions with the facts in fields. No grpc here.

ChainruleError
  GraphError              the graph or the call is wrong: mend it
    TraceError            a function can't be traced; names its line
    InvalidGraph          the graph breaks a rule of the IR
    ShapeMismatch         shapes or dtypes don't fit
    UnknownPrimitive      an op or attribute that this server doesn't know
    LimitExceeded         larger than a documented bound
  RemoteError             the call, the connection or the server
    Unavailable  TLSConfigError  Unauthenticated  PermissionDenied  NotFound
    Overloaded  DeadlineExceeded  Cancelled  ResponseTooLarge  Unsupported  ServerFault
  SessionError            the order of a session's operations
    StepConflict  StepGap  StepTooOld  Fenced  NameTaken  Incompatible
    CorruptCheckpoint  NumericsChanged
  NumericError            the numbers themselves
    NonFinite  NotConverged
"""

from enum import Enum, IntEnum
from typing import Any, ClassVar


class Retry(IntEnum):
    """What the sender may do with the same request. Numbers are part of the protocol."""

    NEVER = 1
    FIX = 2
    SAME_BYTES = 3
    AFTER = 4
    REOPEN = 5


class Applied(IntEnum):
    """Whether the refused operation changed anything. Numbers are part of the protocol."""

    NO = 1
    YES = 2
    UNKNOWN = 3


class ChainruleError(Exception):
    """The root. Its text says the thing, the fact and the cure; the same facts are fields.

    Attributes:
        code: the reason, one of `ErrorCode`.
        request_id: hex id of the call in the server's log, where there was a call.
        function, node, label, line: where in the graph, as far as known.
        field: the path of the message field at fault, `feeds[3].dims`.
        fact, cure: the two halves of the text.
        retry, applied: what to do next, and whether state changed.
        facts: further values by name: next_seq, chain, epoch, limit, value, missing, retry_after_s.
    """

    default_code: ClassVar[str] = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        code: "ErrorCode | None" = None,
        request_id: str | None = None,
        function: str | None = None,
        node: int | None = None,
        label: str | None = None,
        line: str | None = None,
        field: str | None = None,
        cure: str | None = None,
        retry: Retry | None = None,
        applied: Applied = Applied.NO,
        **facts: Any,
    ) -> None:
        self.fact = message
        self.code = code if code is not None else ErrorCode[self.default_code]
        self.request_id = request_id
        self.function = function
        self.node = node
        self.label = label
        self.line = line
        self.field = field
        self.cure = cure
        self.retry = retry if retry is not None else RETRY_OF.get(self.code, Retry.FIX)
        self.applied = applied
        self.facts = facts
        super().__init__(message)

    def __str__(self) -> str:
        where = []
        if self.node is not None:
            where.append(f"node {self.node}" + (f" ({self.label})" if self.label else ""))
        elif self.label:
            where.append(self.label)
        if self.line:
            where.append(f"at {self.line}")
        text = f"{' '.join(where)}: {self.fact}" if where else self.fact
        return f"{text}; {self.cure}" if self.cure else text


class GraphError(ChainruleError):
    """The graph or the call is wrong; sending it again can't help."""

    default_code = "INVALID_GRAPH"


class TraceError(GraphError):
    """The function does something that can't be traced; the text names its line and the cure."""

    default_code = "TRACE"


class InvalidGraph(GraphError):
    """The graph breaks a rule of the IR."""


class ShapeMismatch(GraphError):
    """Shapes or dtypes that don't fit each other, in the graph or between graph and feeds."""

    default_code = "SHAPE_MISMATCH"


class UnknownPrimitive(GraphError):
    """An op, function or attribute that is not in the table."""

    default_code = "UNKNOWN_OP"


class LimitExceeded(GraphError):
    """Larger than a documented bound, refused before anything ran."""

    default_code = "TOO_LARGE"


class RemoteError(ChainruleError):
    """The call, the connection or the server."""


class Unavailable(RemoteError):
    """The server can't be reached or is draining; the same call may go through later."""

    default_code = "UNAVAILABLE"


class TLSConfigError(RemoteError):
    """The secure channel can't be set up; retrying can't help."""

    default_code = "TLS_CONFIG"


class Unauthenticated(RemoteError):
    """No valid token."""

    default_code = "UNAUTHENTICATED"


class PermissionDenied(RemoteError):
    """A valid token without the right to this call."""

    default_code = "PERMISSION_DENIED"


class NotFound(RemoteError):
    """Nothing by that name that this tenant may see."""

    default_code = "NOT_FOUND"


class Overloaded(RemoteError):
    """A bound of the server or of the tenant is reached now."""

    default_code = "OVERLOADED"


class DeadlineExceeded(RemoteError):
    """Not finished within the time the caller or the server allows."""

    default_code = "DEADLINE"


class Cancelled(RemoteError):
    """Ended by the caller."""

    default_code = "CANCELLED"


class ResponseTooLarge(RemoteError):
    """The answer would not fit a message; ask for objects or for less."""

    default_code = "RESPONSE_TOO_LARGE"


class Unsupported(RemoteError):
    """A valid wish that this server's version or configuration doesn't serve."""

    default_code = "UNSUPPORTED"


class ServerFault(RemoteError):
    """A bug or a broken part of the server; the request id names its line in the log."""

    default_code = "INTERNAL"


class SessionError(ChainruleError):
    """The order of a session's operations."""


class StepConflict(SessionError):
    """Another operation already has this number, or follows another history."""

    default_code = "STEP_CONFLICT"


class StepGap(SessionError):
    """Operations before this one are missing."""

    default_code = "STEP_GAP"


class StepTooOld(SessionError):
    """Applied long ago; its reply is no longer kept."""

    default_code = "STEP_TOO_OLD"


class Fenced(SessionError):
    """Another client has opened the session since."""

    default_code = "FENCED"


class NameTaken(SessionError):
    """The name belongs to something else."""

    default_code = "NAME_TAKEN"


class Incompatible(SessionError):
    """Names, shapes or dtypes differ from what the session holds."""

    default_code = "INCOMPATIBLE"


class CorruptCheckpoint(SessionError):
    """Stored bytes fail their digest; nothing was loaded."""

    default_code = "CORRUPT_CHECKPOINT"


class NumericsChanged(SessionError):
    """Redo on this build or machine would give other bits."""

    default_code = "NUMERICS_CHANGED"


class NumericError(ChainruleError):
    """The numbers themselves."""

    default_code = "NUMERIC_FAILURE"


class NonFinite(NumericError):
    """A loss or gradient that is NaN or infinite; nothing was applied."""

    default_code = "NON_FINITE"


class NotConverged(NumericError):
    """An iteration reached its bound above its tolerance."""

    default_code = "NOT_CONVERGED"


class UnsplitWarning(UserWarning):
    """The graph couples examples, so its batch runs on one worker."""


class ErrorCode(Enum):
    """Every reason: its gRPC status (by name) and the exception a client raises for it."""

    MALFORMED_MESSAGE = ("INVALID_ARGUMENT", InvalidGraph)
    UNKNOWN_FIELD = ("INVALID_ARGUMENT", InvalidGraph)
    NON_CANONICAL = ("INVALID_ARGUMENT", InvalidGraph)
    UNSUPPORTED_VERSION = ("FAILED_PRECONDITION", Unsupported)
    MISSING_FIELD = ("INVALID_ARGUMENT", GraphError)
    BAD_FIELD = ("INVALID_ARGUMENT", GraphError)
    BAD_NAME = ("INVALID_ARGUMENT", InvalidGraph)
    DUPLICATE_NAME = ("INVALID_ARGUMENT", InvalidGraph)
    TOO_MANY_NODES = ("INVALID_ARGUMENT", LimitExceeded)
    NESTING_TOO_DEEP = ("INVALID_ARGUMENT", LimitExceeded)
    RANK_TOO_LARGE = ("INVALID_ARGUMENT", LimitExceeded)
    TOO_LARGE = ("INVALID_ARGUMENT", LimitExceeded)
    CONSTANT_TOO_LARGE = ("INVALID_ARGUMENT", LimitExceeded)
    MESSAGE_TOO_LARGE = ("RESOURCE_EXHAUSTED", LimitExceeded)
    INVALID_GRAPH = ("INVALID_ARGUMENT", InvalidGraph)
    TRACE = ("INVALID_ARGUMENT", TraceError)
    BAD_REF = ("INVALID_ARGUMENT", InvalidGraph)
    BAD_LOSS = ("INVALID_ARGUMENT", InvalidGraph)
    UNKNOWN_OP = ("INVALID_ARGUMENT", UnknownPrimitive)
    UNKNOWN_ATTR = ("INVALID_ARGUMENT", UnknownPrimitive)
    ATTR_RANGE = ("INVALID_ARGUMENT", InvalidGraph)
    BAD_DIM = ("INVALID_ARGUMENT", InvalidGraph)
    BAD_AXIS = ("INVALID_ARGUMENT", ShapeMismatch)
    BAD_DTYPE = ("INVALID_ARGUMENT", InvalidGraph)
    SHAPE_MISMATCH = ("INVALID_ARGUMENT", ShapeMismatch)
    DTYPE_MISMATCH = ("INVALID_ARGUMENT", ShapeMismatch)
    BYTE_LENGTH = ("INVALID_ARGUMENT", ShapeMismatch)
    BATCH_MISMATCH = ("INVALID_ARGUMENT", ShapeMismatch)
    EMPTY_REDUCTION = ("INVALID_ARGUMENT", ShapeMismatch)
    NOT_DIFFERENTIABLE = ("INVALID_ARGUMENT", GraphError)
    CHUNK_SEQUENCE = ("INVALID_ARGUMENT", GraphError)
    INDEX_RANGE = ("INVALID_ARGUMENT", NumericError)
    NUMERIC_FAILURE = ("INVALID_ARGUMENT", NumericError)
    NON_FINITE = ("FAILED_PRECONDITION", NonFinite)
    NOT_CONVERGED = ("FAILED_PRECONDITION", NotConverged)
    COST_BYTES = ("RESOURCE_EXHAUSTED", LimitExceeded)
    COST_FLOPS = ("RESOURCE_EXHAUSTED", LimitExceeded)
    COST_BYTES_ACTUAL = ("RESOURCE_EXHAUSTED", LimitExceeded)
    POISON = ("RESOURCE_EXHAUSTED", ServerFault)
    RESPONSE_TOO_LARGE = ("RESOURCE_EXHAUSTED", ResponseTooLarge)
    OVERLOADED = ("RESOURCE_EXHAUSTED", Overloaded)
    QUOTA = ("RESOURCE_EXHAUSTED", Overloaded)
    STORAGE_FULL = ("RESOURCE_EXHAUSTED", Overloaded)
    UNAUTHENTICATED = ("UNAUTHENTICATED", Unauthenticated)
    PERMISSION_DENIED = ("PERMISSION_DENIED", PermissionDenied)
    NOT_FOUND = ("NOT_FOUND", NotFound)
    OBJECT_MISSING = ("FAILED_PRECONDITION", NotFound)
    UNSUPPORTED = ("UNIMPLEMENTED", Unsupported)
    DEADLINE = ("DEADLINE_EXCEEDED", DeadlineExceeded)
    CANCELLED = ("CANCELLED", Cancelled)
    UNAVAILABLE = ("UNAVAILABLE", Unavailable)
    DRAINING = ("UNAVAILABLE", Unavailable)
    TLS_CONFIG = ("UNAVAILABLE", TLSConfigError)
    STEP_CONFLICT = ("ABORTED", StepConflict)
    HISTORY_MISMATCH = ("ABORTED", StepConflict)
    PREDECESSOR_FAILED = ("ABORTED", StepConflict)
    STEP_GAP = ("ABORTED", StepGap)
    STEP_TOO_OLD = ("ABORTED", StepTooOld)
    STEPS_LOST = ("FAILED_PRECONDITION", StepConflict)
    FENCED = ("FAILED_PRECONDITION", Fenced)
    SESSION_CLOSED = ("FAILED_PRECONDITION", SessionError)
    NAME_TAKEN = ("FAILED_PRECONDITION", NameTaken)
    INCOMPATIBLE = ("FAILED_PRECONDITION", Incompatible)
    CORRUPT_CHECKPOINT = ("DATA_LOSS", CorruptCheckpoint)
    NUMERICS_CHANGED = ("FAILED_PRECONDITION", NumericsChanged)
    INTERNAL = ("INTERNAL", ServerFault)

    def __init__(self, status: str, exception: type[ChainruleError]) -> None:
        self.status = status
        self.exception = exception

    # Two reasons may share status and exception; without this Enum would make the second an alias.
    def __new__(cls, status: str, exception: type[ChainruleError]) -> "ErrorCode":
        member = object.__new__(cls)
        member._value_ = len(cls.__members__) + 1
        return member


RETRY_OF: dict[ErrorCode, Retry] = {
    ErrorCode.UNAVAILABLE: Retry.SAME_BYTES,
    ErrorCode.DRAINING: Retry.AFTER,
    ErrorCode.OVERLOADED: Retry.AFTER,
    ErrorCode.QUOTA: Retry.AFTER,
    ErrorCode.STORAGE_FULL: Retry.AFTER,
    ErrorCode.STEP_GAP: Retry.AFTER,
    ErrorCode.STEPS_LOST: Retry.REOPEN,
    ErrorCode.HISTORY_MISMATCH: Retry.REOPEN,
    ErrorCode.PREDECESSOR_FAILED: Retry.REOPEN,
    ErrorCode.FENCED: Retry.NEVER,
    ErrorCode.SESSION_CLOSED: Retry.NEVER,
    ErrorCode.STEP_TOO_OLD: Retry.NEVER,
    ErrorCode.POISON: Retry.NEVER,
    ErrorCode.UNSUPPORTED: Retry.NEVER,
    ErrorCode.PERMISSION_DENIED: Retry.NEVER,
    ErrorCode.INTERNAL: Retry.NEVER,
}
