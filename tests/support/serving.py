"""A real server in this process, on a free port of loopback, and calls to it with nothing in between."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from chainrule.calls import Call
from chainrule.errors import ChainruleError
from chainrule.wire.errors import TRAILER, error_from_bytes
from chainrule_server import telemetry
from chainrule_server.app import App
from chainrule_server.config import Settings

Request = TypeVar("Request", bound=Message)
Reply = TypeVar("Reply", bound=Message)
TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a refused call got: the status, its text, and the exception in the detail, if any."""

    status: grpc.StatusCode
    text: str
    error: ChainruleError | None

    @property
    def reason(self) -> str:
        """The name of the error code."""
        return self.error.code.name if self.error else ""


@dataclass(frozen=True, slots=True)
class Scene:
    """A server and a channel to it."""

    app: App
    channel: grpc.Channel

    def answer(
        self,
        call: Call[Request, Reply],
        message: Request,
        metadata: tuple[tuple[str, str], ...] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> Reply:
        """The reply to a message that is fine."""
        data = self.send(call.path, message.SerializeToString(), metadata, timeout_s)
        return call.decode_reply(data)

    def send(
        self,
        path: str,
        data: bytes,
        metadata: tuple[tuple[str, str], ...] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> bytes:
        """Raw bytes to a method and back."""
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(path)
        return method(data, timeout=timeout_s, metadata=metadata)

    def refusal(
        self,
        call: Call[Request, Reply],
        message: Request | bytes,
        metadata: tuple[tuple[str, str], ...] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> Refusal:
        """What a call that isn't fine gets; AssertionError where it is answered."""
        data = message if isinstance(message, bytes) else message.SerializeToString()
        try:
            self.send(call.path, data, metadata, timeout_s)
        except grpc.RpcError as failure:
            return refusal_of(failure)
        raise AssertionError(f"{call.method} was answered")


def refusal_of(failure: grpc.RpcError) -> Refusal:
    """The facts of a failed call."""
    found = next((d.value for d in failure.trailing_metadata() or () if d.key == TRAILER), None)
    error = error_from_bytes(found) if isinstance(found, bytes) else None
    return Refusal(failure.code(), failure.details() or "", error)


def settings_for(folder: Path, **options: object) -> Settings:
    """Settings of a small server with its data under `folder`."""
    given: dict[str, object] = {
        "listen": "127.0.0.1:0",
        "health_listen": "off",
        "workers": 1,
        "threads": 16,
        "data_dir": folder / "data",
        "log_level": "error",
        "max_bytes": 2**30,
        "grace_s": 5.0,
    }
    return Settings.model_validate(given | options)


@contextmanager
def serving(folder: Path, **options: object) -> Iterator[Scene]:
    """A server for the length of the block; its log would only hide what a test prints."""
    telemetry.configure("error", sys.__stderr__)
    with App(settings_for(folder, **options)) as app, grpc.insecure_channel(app.address) as channel:
        yield Scene(app, channel)
