"""Wishes of the protocol as requests of the engine, and its answers as results."""

from collections.abc import Mapping, Sequence

import numpy as np

from chainrule.errors import ErrorCode, GraphError, InvalidGraph, Unsupported
from chainrule.ir.avals import Aval
from chainrule.ir.graph import Function
from chainrule.wire.records import Array, Computation, Wish
from chainrule_server.engine.requests import Kind, Request

SERVED = {
    Computation.VALUE: Kind.VALUE,
    Computation.GRAD: Kind.GRAD,
    Computation.VJP: Kind.VJP,
    Computation.JVP: Kind.JVP,
    Computation.HVP: Kind.HVP,
}
# How the engine names the extra feeds of a request.
_SEEDS = {Kind.VJP: "ct", Kind.JVP: "t", Kind.HVP: "v"}


def requests_of(wishes: Sequence[Wish], main: Function) -> tuple[Request, ...]:
    """What the engine is asked.

    Raises:
        GraphError: no wish at all (MISSING_FIELD); names that are none of the graph's (BAD_REF); the
            gradient of what is no scalar (BAD_LOSS).
        Unsupported: a computation that this version doesn't serve.
    """
    if not wishes:
        raise GraphError(
            "nothing is asked for",
            code=ErrorCode.MISSING_FIELD,
            field="wishes",
            cure="ask for a value at least",
        )
    return tuple(_request(wish, main, f"wishes[{i}]") for i, wish in enumerate(wishes))


def seeds_of(
    wishes: Sequence[Wish], requests: Sequence[Request], main: Function
) -> dict[str, Array]:
    """The feeds that requests take beside those of the graph, by the engine's names."""
    out: dict[str, Array] = {}
    for i, (wish, request) in enumerate(zip(wishes, requests, strict=True)):
        prefix = _SEEDS.get(request.kind)
        if wish.computation is Computation.GRAD and request.kind is Kind.VJP:
            # The gradient of an output that isn't the first: its cotangent is one.
            dtype = _out(main, request.outs[0]).dtype
            out[f"ct/{i}/{request.outs[0]}"] = np.ones((), dtype.numpy)
        elif prefix is not None:
            out |= {f"{prefix}/{i}/{name}": a for name, a in wish.directions.items()}
    return out


def results_of(
    requests: Sequence[Request], outputs: Mapping[str, Array], main: Function
) -> tuple[tuple[tuple[str, Array], ...], ...]:
    """Per wish, its named arrays in the order asked for."""
    return tuple(_result(i, request, outputs, main) for i, request in enumerate(requests))


def _request(wish: Wish, main: Function, field: str) -> Request:
    kind = SERVED.get(wish.computation)
    if kind is None:
        raise Unsupported(
            f"{wish.computation.name.lower()} is not served by this version",
            field=f"{field}.computation",
            cure="GetInfo lists what is; a Jacobian is a vjp or jvp a row or column",
        )
    for name in (*wish.outs, *(wish.directions if kind is Kind.VJP else ())):
        _out(main, name)
    if kind is not Kind.VALUE and not wish.wrt:
        raise InvalidGraph(
            "a derivative with respect to nothing",
            code=ErrorCode.MISSING_FIELD,
            field=f"{field}.wrt",
            cure="name the inputs",
        )
    if kind in (Kind.GRAD, Kind.HVP) and wish.outs and wish.outs != main.output_names[:1]:
        return _of_another(wish, kind, main, field)
    return Request(kind, wish.wrt, () if kind in (Kind.VALUE, Kind.GRAD, Kind.HVP) else wish.outs)


def _of_another(wish: Wish, kind: Kind, main: Function, field: str) -> Request:
    """grad of an output that isn't the first, as the vjp that it is."""
    aval = _out(main, wish.outs[0])
    if len(wish.outs) != 1 or aval.shape != () or not aval.dtype.is_float:
        raise InvalidGraph(
            f"the gradient of {', '.join(wish.outs)[:64]}, which is {aval}",
            code=ErrorCode.BAD_LOSS,
            field=f"{field}.outs",
            cure="name one floating-point scalar, or ask for a vjp",
        )
    if kind is Kind.HVP:
        raise Unsupported(
            "an hvp of an output that isn't the first",
            field=f"{field}.outs",
            cure="put the loss first among the outputs",
        )
    return Request(Kind.VJP, wish.wrt, wish.outs)


def _out(main: Function, name: str) -> Aval:
    avals = dict(zip(main.output_names, main.out_avals, strict=True))
    if name not in avals:
        raise InvalidGraph(
            f"output {name[:64]!r} is not there",
            code=ErrorCode.BAD_REF,
            cure=f"outputs are {', '.join(list(avals)[:8])}",
        )
    return avals[name]


def _result(
    i: int, request: Request, outputs: Mapping[str, Array], main: Function
) -> tuple[tuple[str, Array], ...]:
    if request.kind is Kind.VALUE:
        return tuple((name, outputs[f"value/{name}"]) for name in main.output_names)
    names: Sequence[str] = request.wrt
    if request.kind is Kind.JVP:
        floats = [
            n for n, a in zip(main.output_names, main.out_avals, strict=True) if a.dtype.is_float
        ]
        names = request.outs or floats
    return tuple((name, outputs[f"{request.kind.value}/{i}/{name}"]) for name in names)
