"""One channel to one server: deadlines, retries, TLS, token, and errors as our exceptions.

A call goes out as bytes and comes back as bytes; `calls.py` says what they are. A call that got no
answer is sent again after 50 ms to 1 s, as often as its deadline allows: the table says which calls
may be. What the server refused is never sent again here.
"""

import random
import secrets
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from chainrule.calls import MESSAGE_BYTES, Call, Resend
from chainrule.connection import TLS, Address, channel_error, credentials
from chainrule.errors import Cancelled, ChainruleError, ErrorCode, Retry
from chainrule.wire.errors import TRAILER, error_from_bytes

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)

FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0
# Where nothing has ever answered, the address is the likelier fault than a restart.
CONNECT_S = 5.0
_OPTIONS: list[tuple[str, int | str]] = [
    ("grpc.max_receive_message_length", 2 * MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),  # calls.py bounds what is sent, by call
    ("grpc.enable_retries", 0),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
]


class Backoff:
    """Pauses of 50 ms, doubling to 1 s, each shortened by up to half at random.

    The jitter keeps clients that lost one server from coming back in step.
    """

    def __init__(self) -> None:
        self._next_s = FIRST_PAUSE_S
        self._random = random.Random(secrets.randbits(64))

    def pause_s(self, error: ChainruleError) -> float:
        """How long to wait after this error; the server's own wish goes first."""
        wish = error.facts.get("retry_after_s")
        pause = self._next_s * self._random.uniform(0.5, 1.0)
        self._next_s = min(2 * self._next_s, LAST_PAUSE_S)
        return max(pause, float(wish)) if isinstance(wish, int | float) else pause


class Transport:
    """The channel, shared by everything a client does; any thread may call.

    Args:
        address: where the server listens.
        token: sent with every call that needs one.
        tls: certificates; None for a plain channel.
    """

    def __init__(self, address: Address, token: str | None = None, tls: TLS | None = None) -> None:
        self.address = address
        self.secure = tls is not None
        self.ready = False
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self._closed = threading.Event()
        self._methods: dict[str, Callable[..., bytes]] = {}
        options = list(_OPTIONS)
        if address.is_local:
            options.append(("grpc.enable_http_proxy", 0))
        if tls is None:
            self._channel = grpc.insecure_channel(address.target, options)
        else:
            if tls.server_name:
                options.append(("grpc.ssl_target_name_override", tls.server_name))
            self._channel = grpc.secure_channel(address.target, credentials(tls), options)

    def close(self) -> None:
        """Ends the channel; calls under way raise Cancelled."""
        self._closed.set()
        self._channel.close()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def wait(self, seconds: float) -> bool:
        """Pauses; True, at once, where the channel is closed meanwhile."""
        return self._closed.wait(seconds)

    def call(
        self, call: Call[Request, Reply], request: Request, timeout_s: float | None = None
    ) -> Reply:
        """Sends a message and gives the answer.

        Args:
            call: the row of the table.
            request: its message.
            timeout_s: for everything, resends included; None takes the table's.

        Raises:
            ChainruleError: what the server refused, or why it couldn't be reached.
        """
        data = call.encode_request(request)
        deadline = time.monotonic() + (call.deadline_s if timeout_s is None else timeout_s)
        return call.decode_reply(self.send(call, data, deadline))

    def send(self, call: Call[Request, Reply], data: bytes, deadline: float) -> bytes:
        """The same bytes until an answer, a refusal or the deadline (`time.monotonic()`)."""
        backoff = Backoff()
        give_up = min(deadline, time.monotonic() + CONNECT_S)
        while True:
            try:
                return self.once(call, data, deadline - time.monotonic())
            except ChainruleError as error:
                pause = backoff.pause_s(error)
                last = time.monotonic() + pause >= (deadline if self.ready else give_up)
                if call.resend is Resend.UNTIL_ANSWERED or not is_transient(error) or last:
                    raise
            if self._closed.wait(pause):
                raise _closed_error()

    def once(self, call: Call[Request, Reply], data: bytes, timeout_s: float) -> bytes:
        """One attempt.

        Raises:
            ChainruleError: with `request_id`, the name of this attempt in the server's log.
        """
        if self._closed.is_set():
            raise _closed_error()
        request_id = secrets.token_hex(16)
        metadata = (*(self._metadata if call.needs_token else ()), ("x-request-id", request_id))
        method = self._methods.get(call.path)
        if method is None:
            method = self._methods.setdefault(call.path, self._channel.unary_unary(call.path))
        try:
            answer = method(data, timeout=max(timeout_s, 0.001), metadata=metadata)
        except grpc.RpcError as failure:
            error = self._error(failure, call.method, timeout_s)
            error.request_id = error.request_id or request_id
            raise error from None
        except ValueError:  # gRPC's word for a channel that was closed under a call
            raise _closed_error() from None
        self.ready = True
        return answer

    def _error(self, failure: grpc.RpcError, method: str, timeout_s: float) -> ChainruleError:
        # The stubs miss that an entry unpacks into key and value.
        trailers: Any = failure.trailing_metadata() or ()
        trailer = dict(trailers).get(TRAILER)
        found = error_from_bytes(trailer) if trailer else None
        if found is not None:
            self.ready = True
            return found
        return channel_error(
            failure.code(),
            failure.details() or "",
            address=self.address,
            method=method,
            timeout_s=timeout_s,
            secure=self.secure,
            was_ready=self.ready,
            closed=self.closed,
        )


def is_transient(error: ChainruleError) -> bool:
    """Whether the same bytes may go through later, without anything having been mended."""
    if error.code is ErrorCode.TLS_CONFIG:
        return False
    return error.retry in (Retry.SAME_BYTES, Retry.AFTER)


def _closed_error() -> Cancelled:
    return Cancelled("the client is closed", cure="connect again")
