"""The same client with `await`: every method of `Client` and `Session` as a coroutine.

    client = await cr.aio.connect("localhost:50051")
    value, gradient = await client.value_and_grad(f, x)

Calls run on threads of the event loop's executor, so tracing and the wait for an answer hold nothing up.
"""

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from chainrule.binding import Bound
from chainrule.client import Client
from chainrule.connecting import connect as _connect
from chainrule.lease import Linearized
from chainrule.session import Session

__all__ = ["AsyncBound", "AsyncClient", "AsyncLinearized", "AsyncSession", "connect"]


async def connect(address: str | None = None, **settings: Any) -> "AsyncClient":
    """As `cr.connect`."""
    return AsyncClient(await asyncio.to_thread(_connect, address, **settings))


class _Async:
    """Methods of something synchronous as coroutines; its plain attributes as they are."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __repr__(self) -> str:
        return f"async {self._inner!r}"

    def __dir__(self) -> list[str]:
        return dir(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._inner, name)
        return _coroutine(found) if callable(found) else found


class AsyncBound(_Async):
    """`Bound` with `await`."""


class AsyncLinearized(_Async):
    """`Linearized` with `await`; an async context manager."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self._inner.release)


class AsyncSession(_Async):
    """`Session` with `await`."""

    async def submit(self, *batch: Any, **options: Any) -> Any:
        """A step whose answer is awaited later: `answer = await session.submit(x, y)`, `await answer`."""
        return await asyncio.to_thread(self._inner.submit, *batch, **options)


class AsyncClient(_Async):
    """`Client` with `await`; an async context manager."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and the private server where there is one."""
        await asyncio.to_thread(self._inner.close)


def _coroutine(method: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **options: Any) -> Any:
        return _wrapped(await asyncio.to_thread(method, *args, **options))

    call.__name__ = getattr(method, "__name__", "call")
    call.__doc__ = method.__doc__
    return call


def _wrapped(value: Any) -> Any:
    if isinstance(value, Session):
        return AsyncSession(value)
    if isinstance(value, Linearized):
        return AsyncLinearized(value)
    return AsyncBound(value) if isinstance(value, Bound) else value
