"""A real gRPC server whose answers a test decides, for looking at a client from the other side."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

from chainrule.errors import ChainruleError
from chainrule.wire.errors import TRAILER, status_to_bytes

Answer = Callable[[bytes, grpc.ServicerContext], bytes]


@dataclass
class RawServer(grpc.GenericRpcHandler):
    """Answers every method by its name.

    Attributes:
        answers: by method, `Step`; bytes to bytes, or an exception of ours to refuse with.
        seen: method and bytes of every request, in order of arrival.
        metadata: of the last call.
        port: on loopback.
    """

    answers: dict[str, Answer]
    seen: list[tuple[str, bytes]] = field(default_factory=list)
    metadata: dict[str, str | bytes] = field(default_factory=dict)
    port: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def service(
        self, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        method = details.method.rpartition("/")[2]
        if method not in self.answers:
            return None

        def handle(data: bytes, context: grpc.ServicerContext) -> bytes:
            with self.lock:
                self.seen.append((method, data))
                self.metadata = dict(context.invocation_metadata())
            try:
                return self.answers[method](data, context)
            except ChainruleError as error:
                status = grpc.StatusCode[error.code.status]
                trailer = status_to_bytes(status.value[0], str(error), error)
                context.set_trailing_metadata(((TRAILER, trailer),))
                context.abort(status, str(error))

        return grpc.unary_unary_rpc_method_handler(handle)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextmanager
    def serving(self, credentials: grpc.ServerCredentials | None = None) -> Iterator["RawServer"]:
        """Serves on `port`; 0 takes a free one and keeps it for the next time."""
        server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers((self,))
        where = f"127.0.0.1:{self.port}"
        if credentials is None:
            self.port = server.add_insecure_port(where)
        else:
            self.port = server.add_secure_port(where, credentials)
        server.start()
        try:
            yield self
        finally:
            server.stop(0).wait()
