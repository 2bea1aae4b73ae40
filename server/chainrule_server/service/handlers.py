"""Between gRPC and servicers: raw bytes in, raw bytes or one refusal out; nothing else answers gRPC."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
from google.protobuf.message import Message

from chainrule.calls import CALLS, Call
from chainrule.errors import ChainruleError, ErrorCode, LimitExceeded, ServerFault
from chainrule.wire.errors import TRAILER, status_to_bytes
from chainrule_server.door.door import Door
from chainrule_server.door.request import Arrival, Request
from chainrule_server.door.tokens import HEADER
from chainrule_server.telemetry import Counters, fact_fields, logger, new_request_id
from chainrule_server.workers.cancellation import Cancellation

# A client may name its call, so that its own log and this one can be read together.
REQUEST_ID = "x-request-id"
_IS_ID = re.compile("[0-9a-f]{32}")
_LOG = logger("service")

Servicer = Callable[[Request[Any]], Message]
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"


class Handlers(grpc.GenericRpcHandler):
    """All methods of the table.

    Args:
        door: lets calls in.
        servicers: a function a path.
        counters: of calls and refusals.
    """

    def __init__(self, door: Door, servicers: Mapping[str, Servicer], counters: Counters) -> None:
        if set(servicers) != set(CALLS):
            raise ValueError(f"servicers and table differ: {set(servicers) ^ set(CALLS)}")
        self._door = door
        self._counters = counters
        self._methods: dict[str, Handler] = {
            path: grpc.unary_unary_rpc_method_handler(self._behaviour(CALLS[path], servicer))
            for path, servicer in servicers.items()
        }

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        """The handler of a method; None makes gRPC answer UNIMPLEMENTED."""
        return self._methods.get(handler_call_details.method)

    def _behaviour(
        self, call: Call[Message, Message], servicer: Servicer
    ) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def behave(data: bytes, context: grpc.ServicerContext) -> bytes:
            started = time.monotonic()
            arrival = _arrival(data, context)
            try:
                with self._door.open(call, arrival) as request:
                    answer = call.encode_reply(servicer(request))
            except Exception as failure:
                error = _translated(failure, call, arrival.request_id)
                self._counters.add(f"refused.{error.code.name}")
                _log_refusal(call, arrival, error, time.monotonic() - started)
                _abort(context, error)
            self._counters.add(f"answered.{call.method}")
            _LOG.debug(
                "answered",
                method=call.method,
                request_id=arrival.request_id,
                seconds=round(time.monotonic() - started, 6),
                request_bytes=len(data),
                reply_bytes=len(answer),
            )
            return answer

        return behave


def _arrival(data: bytes, context: grpc.ServicerContext) -> Arrival:
    metadata = dict(context.invocation_metadata() or ())
    given = metadata.get(REQUEST_ID)
    request_id = given if isinstance(given, str) and _IS_ID.fullmatch(given) else new_request_id()
    header = metadata.get(HEADER)
    cancel = Cancellation()
    # False: the call has ended before it began, and nobody waits for it.
    if not context.add_callback(cancel.set):
        cancel.set()
    return Arrival(
        data=data,
        authorization=header if isinstance(header, str) else None,
        request_id=request_id,
        left_s=context.time_remaining(),
        cancel=cancel,
    )


def _translated(
    failure: Exception, call: Call[Message, Message], request_id: str
) -> ChainruleError:
    """What the caller is told. Texts of exceptions that are not ours stay in the log."""
    if isinstance(failure, ChainruleError):
        error = failure
    elif isinstance(failure, MemoryError):
        error = LimitExceeded(
            "the server ran out of memory at this call",
            code=ErrorCode.COST_BYTES_ACTUAL,
            cure="send less at once, or give the server more memory",
        )
    else:
        _LOG.error("failed", method=call.method, request_id=request_id, exc_info=failure)
        error = ServerFault(
            f"the server failed at {call.method}",
            code=ErrorCode.INTERNAL,
            cure="report it with the request id",
        )
    error.request_id = request_id
    return error


def _log_refusal(
    call: Call[Message, Message], arrival: Arrival, error: ChainruleError, seconds: float
) -> None:
    _LOG.info(
        "refused",
        method=call.method,
        request_id=arrival.request_id,
        reason=error.code.name,
        status=error.code.status,
        field=error.field,
        node=error.node,
        fact=error.fact[:300],
        seconds=round(seconds, 6),
        request_bytes=len(arrival.data),
        **fact_fields(error.facts),
    )


def _abort(context: grpc.ServicerContext, error: ChainruleError) -> None:
    status = grpc.StatusCode[error.code.status]
    text = str(error)
    number = status.value[0]
    context.set_trailing_metadata(
        ((TRAILER, status_to_bytes(number, text, error)), (REQUEST_ID, error.request_id or ""))
    )
    # Raises, so the behaviour ends here; text in a header is one line.
    context.abort(status, text.replace("\n", " ")[:1_000])
