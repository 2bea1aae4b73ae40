"""`Client`: values, derivatives and sessions of one server."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from chainrule.binding import Bound, graded, valued
from chainrule.calls import GET_INFO, LIST
from chainrule.checkpointing import checkpoint_info, find_checkpoint, list_checkpoints
from chainrule.derivatives import Derivatives
from chainrule.errors import ErrorCode, GraphError
from chainrule.explanation import Explanation
from chainrule.gradients import Gradients, grad_wish, value_wish
from chainrule.local import PrivateServer
from chainrule.objects import Objects
from chainrule.opening import create_session, open_session
from chainrule.prepared import Function, Wrt, prepare
from chainrule.proto.v1 import server_pb2, session_pb2
from chainrule.results import (
    CheckpointInfo,
    Estimate,
    Result,
    ServerInfo,
    SessionList,
    session_info,
)
from chainrule.serverinfo import info_from_proto
from chainrule.session import Session
from chainrule.transport import Transport
from chainrule.wire.sessions import head_from_proto


class Client(Derivatives):
    """Everything a server can do. A context manager; any thread may call.

    Calls take `timeout_s` (for everything, resends included), `max_bytes` and `max_flops` (refuse a plan
    that takes more), `seed` (of random draws) and `kwargs` (keyword arguments of f). Wherever f goes, a
    `cr.Graph` goes.
    """

    def __init__(
        self, transport: Transport, *, server: PrivateServer | None = None, timeout_s: float = 60.0
    ) -> None:
        self._transport = transport
        self._server = server
        self._objects = Objects(transport)
        super().__init__(Gradients(transport, self._objects), timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "a private server" if self._server else str(self._transport.address)
        secure = " over TLS" if self._transport.secure else ""
        state = "closed, " if self._transport.closed else ""
        return f"<chainrule client, {state}of {where}{secure}>"

    def close(self) -> None:
        """Ends the connection, and the private server where there is one."""
        self._transport.close()
        if self._server is not None:
            self._server.close()

    def pause(self, seconds: float) -> None:
        """Waits, or until the client is closed."""
        self._transport.wait(seconds)

    @property
    def address(self) -> str:
        """Where the server listens."""
        return str(self._transport.address)

    @property
    def server_pid(self) -> int | None:
        """The process id of the private server; None of another."""
        return self._server.pid if self._server else None

    def value(self, f: Function, *args: Any, batch: Wrt = (), **options: Any) -> Any:
        """f(*args), computed by the server.

        Args:
            f: NumPy code, or a cr.Graph.
            args: arrays, numbers, and trees of them; strings, None and callables are static.
            batch: numbers of the arguments whose leading axis is the batch, split over workers.
            options: timeout_s, max_bytes, max_flops, seed, kwargs.
        """
        kwargs, chosen = self._options(options)
        prepared = prepare(f, args, kwargs=kwargs, batch=batch)
        answer = self._gradients.compute(prepared, (value_wish(),), chosen)
        return valued(prepared, answer.results[0])

    def value_and_grad(
        self,
        f: Function,
        *args: Any,
        wrt: Wrt = 0,
        has_aux: bool = False,
        batch: Wrt = (),
        **options: Any,
    ) -> tuple[Any, Any]:
        """(f(*args), gradient); with has_aux ((value, aux), gradient), as in JAX.

        Args:
            f: gives one float scalar, or (scalar, aux) with has_aux.
            args: as in `value`.
            wrt: the number of an argument, or a tuple of them; the gradient has its structure.
            has_aux: f gives something beside what is differentiated.
            batch: as in `value`.
            options: as in `value`.
        """
        kwargs, chosen = self._options(options)
        prepared = prepare(f, args, kwargs=kwargs, batch=batch, has_aux=has_aux)
        wishes = (value_wish(), grad_wish(prepared, wrt))
        answer = self._gradients.compute(prepared, wishes, chosen)
        return valued(prepared, answer.results[0]), graded(prepared, wrt, answer.results[1])

    def grad(
        self,
        f: Function,
        *args: Any,
        wrt: Wrt = 0,
        has_aux: bool = False,
        batch: Wrt = (),
        **options: Any,
    ) -> Any:
        """The gradient alone; with has_aux (gradient, aux). See `value_and_grad`."""
        kwargs, chosen = self._options(options)
        prepared = prepare(f, args, kwargs=kwargs, batch=batch, has_aux=has_aux)
        grad = grad_wish(prepared, wrt)
        wishes = (grad, value_wish()) if has_aux else (grad,)
        answer = self._gradients.compute(prepared, wishes, chosen)
        gradient = graded(prepared, wrt, answer.results[0])
        return (gradient, prepared.with_aux(answer.results[1])) if has_aux else gradient

    def compute(
        self,
        f: Function,
        *args: Any,
        requests: Sequence[str] = ("value", "grad"),
        wrt: Wrt = 0,
        has_aux: bool = False,
        batch: Wrt = (),
        **options: Any,
    ) -> Result:
        """Value and gradient with everything the server says about them.

        Args:
            f: as in `value_and_grad`.
            args: its arguments.
            requests: "value", "grad", or both.
            wrt: as in `value_and_grad`.
            has_aux: as in `value_and_grad`.
            batch: as in `value`.
            options: as in `value`.
        """
        kwargs, chosen = self._options(options)
        prepared = prepare(f, args, kwargs=kwargs, batch=batch, has_aux=has_aux)
        asked = tuple(dict.fromkeys((requests,) if isinstance(requests, str) else requests))
        _check_requests(asked)
        wishes = [value_wish() if r == "value" else grad_wish(prepared, wrt) for r in asked]
        answer = self._gradients.compute(prepared, wishes, chosen)
        found = dict(zip(asked, answer.results, strict=True))
        return Result(
            valued(prepared, found["value"]) if "value" in found else None,
            graded(prepared, wrt, found["grad"]) if "grad" in found else None,
            answer.stats,
            answer.notices,
            answer.numerics,
            answer.finite,
            answer.grad_norm,
        )

    def bind(
        self, f: Function, *, wrt: Wrt = 0, batch: Wrt = (), has_aux: bool = False, **options: Any
    ) -> Bound:
        """f, traced and registered once: `.value .grad .value_and_grad .hvp`, as scipy.optimize wants."""
        kwargs, chosen = self._options(options)
        return Bound(
            self._gradients,
            f,
            wrt=wrt,
            batch=batch,
            has_aux=has_aux,
            kwargs=kwargs,
            options=chosen,
        )

    def estimate(
        self,
        f: Function,
        *args: Any,
        what: str = "value_and_grad",
        wrt: Wrt = 0,
        batch: Wrt = (),
        **options: Any,
    ) -> Estimate:
        """What a call would take; nothing is run and no array is sent.

        Args:
            f: as in `value_and_grad`.
            args: its arguments.
            what: "value", "grad" or "value_and_grad".
            wrt: as in `value_and_grad`.
            batch: as in `value`.
            options: as in `value`.
        """
        kwargs, chosen = self._options(options)
        prepared = prepare(f, args, kwargs=kwargs, batch=batch)
        asked = ("value", "grad") if what == "value_and_grad" else (what,)
        _check_requests(asked)
        wishes = [value_wish() if r == "value" else grad_wish(prepared, wrt) for r in asked]
        return self._gradients.estimate(prepared, wishes, chosen)

    def explain(
        self, f: Function, *args: Any, wrt: Wrt = 0, batch: Wrt = (), **options: Any
    ) -> Explanation:
        """The chain rule of f at these arguments, node by node."""
        kwargs, chosen = self._options(options)
        prepared = prepare(f, args, kwargs=kwargs, batch=batch)
        return self._gradients.explain(prepared, prepared.wrt_names(wrt), chosen)

    def info(self, *, timeout_s: float | None = None) -> ServerInfo:
        """What the server is and allows."""
        return info_from_proto(
            self._transport.call(GET_INFO, server_pb2.GetInfoRequest(), timeout_s)
        )

    def create_session(self, loss: Function, params: Any, **settings: Any) -> Session:
        """A training session: parameters, optimizer state and step log live on the server.

        Args:
            loss: `loss(params, *batch) -> loss | (loss, metrics)`; with buffers
                `loss(params, buffers, *batch) -> (loss, buffers[, metrics])`. A keyword `train` in its
                signature gets True in steps, False in `evaluate`. Every batch array has the batch as
                leading axis. Traced at the first step unless `example` is given.
            params: first parameters, nested dicts, lists and tuples of arrays.
            settings: optimizer (required), buffers, frozen, seed, microshard, durability, on_nonfinite,
                name, example, timeout_s; see `chainrule.opening.create_session`.
        """
        return create_session(
            self._transport, self._objects, self._gradients, loss, params, **settings
        )

    def open_session(self, id_or_name: str, **settings: Any) -> Session:
        """An existing session, by id or name; whoever held it before is fenced off.

        It goes on at `session.next_step` and needs no function.
        """
        return open_session(self._transport, self._objects, self._gradients, id_or_name, **settings)

    def restore(
        self, name: str, *, allow_drift: bool = False, timeout_s: float = 60.0, **settings: Any
    ) -> Session:
        """The session that saved a checkpoint, taken over and back in that state.

        Args:
            name: of the checkpoint, or its digest.
            allow_drift: go on although it was computed under other numerics.
            timeout_s: for everything.
            settings: loss; see `open_session`.

        Raises:
            NotFound: there is no such checkpoint, or its session is closed.
        """
        found = find_checkpoint(self._transport, name, timeout_s)
        session = self.open_session(found.session_id.hex(), timeout_s=timeout_s, **settings)
        session.restore(found.digest.hex(), allow_drift=allow_drift, timeout_s=timeout_s)
        return session

    def checkpoints(self, *, timeout_s: float | None = None) -> tuple[CheckpointInfo, ...]:
        """The checkpoints that this token may see, by name."""
        return tuple(map(checkpoint_info, list_checkpoints(self._transport, timeout_s=timeout_s)))

    def sessions(self, *, timeout_s: float | None = None) -> SessionList:
        """The sessions that this token may see."""
        return SessionList(map(session_info, self._heads(timeout_s)))

    def _heads(self, timeout_s: float | None) -> Iterator[Any]:
        page = b""
        while True:
            reply = self._transport.call(LIST, session_pb2.ListRequest(page=page), timeout_s)
            yield from map(head_from_proto, reply.sessions)
            page = reply.next_page
            if not page:
                return


def _check_requests(asked: Sequence[str]) -> None:
    unknown = [name for name in asked if name not in ("value", "grad")]
    if unknown or not asked:
        raise GraphError(
            f"request {unknown[0]!r}" if unknown else "nothing is asked for",
            code=ErrorCode.BAD_FIELD,
            cure='ask for "value" or "grad"; other derivatives have methods of their own',
        )
