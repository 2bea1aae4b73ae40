"""Wishes of the protocol as requests of the engine, and its answers as results."""

from collections.abc import Mapping, Sequence

from chainrule.errors import ErrorCode, GraphError, InvalidGraph, LimitExceeded
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
    Computation.JACOBIAN: Kind.JACOBIAN,
    Computation.HESSIAN: Kind.HESSIAN,
    Computation.PER_EXAMPLE_GRAD: Kind.PER_EXAMPLE,
}
# How the engine names the extra feeds of a request.
_SEEDS = {Kind.VJP: "ct", Kind.JVP: "t", Kind.HVP: "v"}
# Lanes go through one after the other in the end, and each has a result.
_MAX_LANES = 1_000_000


def requests_of(wishes: Sequence[Wish], main: Function) -> tuple[Request, ...]:
    """What the engine is asked.

    Raises:
        GraphError: no wish at all (MISSING_FIELD); names that are none of the graph's (BAD_REF); the
            gradient of what is no scalar (BAD_LOSS).
        LimitExceeded: more lanes than a call may have (TOO_LARGE).
    """
    if not wishes:
        raise GraphError(
            "nothing is asked for",
            code=ErrorCode.MISSING_FIELD,
            field="wishes",
            cure="ask for a value at least",
        )
    return tuple(_request(wish, main, f"wishes[{i}]") for i, wish in enumerate(wishes))


def seeds_of(wishes: Sequence[Wish], requests: Sequence[Request]) -> dict[str, Array]:
    """The feeds that requests take beside those of the graph, by the engine's names."""
    out: dict[str, Array] = {}
    for i, (wish, request) in enumerate(zip(wishes, requests, strict=True)):
        prefix = _SEEDS.get(request.kind)
        if prefix is not None:
            out |= {f"{prefix}/{i}/{name}": a for name, a in wish.directions.items()}
    return out


def results_of(
    requests: Sequence[Request], outputs: Mapping[str, Array], main: Function
) -> tuple[tuple[tuple[str, Array], ...], ...]:
    """Per wish, its named arrays in the order asked for."""
    return tuple(_result(i, request, outputs, main) for i, request in enumerate(requests))


def _request(wish: Wish, main: Function, field: str) -> Request:
    kind = SERVED[wish.computation]
    for name in (*wish.outs, *(wish.directions if kind is Kind.VJP else ())):
        _out(main, name)
    if kind is not Kind.VALUE and not wish.wrt:
        raise InvalidGraph(
            "a derivative with respect to nothing",
            code=ErrorCode.MISSING_FIELD,
            field=f"{field}.wrt",
            cure="name the inputs",
        )
    if wish.lanes and kind not in _SEEDS:
        raise InvalidGraph(
            f"lanes of a {wish.computation.name.lower()}, which takes no directions",
            code=ErrorCode.BAD_FIELD,
            field=f"{field}.lanes",
            cure="leave lanes out; they are of a vjp, jvp or hvp",
        )
    check_lanes(wish.lanes, field)
    return Request(kind, wish.wrt, () if kind is Kind.VALUE else wish.outs, wish.lanes)


def check_lanes(lanes: int, field: str) -> None:
    """Refuse more seeds than a call may have.

    Raises:
        LimitExceeded: TOO_LARGE.
    """
    if lanes > _MAX_LANES:
        raise LimitExceeded(
            f"{lanes} lanes, above {_MAX_LANES}",
            code=ErrorCode.TOO_LARGE,
            field=f"{field}.lanes",
            cure="send them in several calls",
            limit=_MAX_LANES,
            value=lanes,
        )


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
    floats = tuple(
        n for n, a in zip(main.output_names, main.out_avals, strict=True) if a.dtype.is_float
    )
    outs, wrt = request.outs or floats, request.wrt
    match request.kind:
        case Kind.JVP:
            names = outs
        case Kind.JACOBIAN:
            names = _pairs(len(outs), len(wrt))
        case Kind.HESSIAN:
            names = _pairs(len(wrt), len(wrt))
        case _:
            names = wrt
    return tuple((name, outputs[f"{request.kind.value}/{i}/{name}"]) for name in names)


def _pairs(rows: int, columns: int) -> tuple[str, ...]:
    """Names of blocks by the numbers of output and input: names themselves could be too long together."""
    return tuple(f"{k}/{j}" for k in range(rows) for j in range(columns))
