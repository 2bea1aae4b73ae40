"""What may be asked of a graph, written as a larger graph: a derivative is another graph (law 2).

Names of the answers: `value/<output>`, and for request i: `grad/<i>/<input>`, `vjp/<i>/<input>`,
`jvp/<i>/<output>`, `hvp/<i>/<input>`. A vjp reads the feeds `ct/<i>/<output>`, a jvp `t/<i>/<input>`, an hvp
`v/<i>/<input>`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chainrule.errors import ErrorCode, InvalidGraph
from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.graph import Debug, Function, Graph


class Kind(StrEnum):
    """The kinds of request."""

    VALUE = "value"
    GRAD = "grad"
    VJP = "vjp"
    JVP = "jvp"
    HVP = "hvp"


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked.

    Attributes:
        kind: which.
        wrt: names of inputs to differentiate with respect to; none for a value.
        outs: names of outputs that a vjp has cotangents for, or a jvp is asked for; empty means every
            floating-point output. grad and hvp take the first output, a scalar.
    """

    kind: Kind
    wrt: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()


def extend(graph: Graph, requests: Sequence[Request]) -> Graph:
    """The graph whose main answers all requests at once; shared work is merged by the builder.

    Raises:
        InvalidGraph: names that aren't there; a gradient of something that is no scalar (BAD_LOSS).
    """
    if not requests:
        raise InvalidGraph(
            "no request", code=ErrorCode.MISSING_FIELD, cure="ask for a value at least"
        )
    main = graph.main
    index = len(graph.functions) - 1
    functions = list(graph.functions)
    debug = [graph.debug_of(i) for i in range(len(graph.functions))]
    for request in requests:
        if request.kind is Kind.HVP:
            _loss(main)
            inner = _gradient(graph.functions, index, _positions(main, request.wrt))
            functions.append(inner[0])
            debug.append(inner[1])
    b = Builder(tuple(functions))
    primals = [b.input(n, a) for n, a in zip(main.input_names, main.in_avals, strict=True)]
    seeds = [_seeds(b, main, i, request) for i, request in enumerate(requests)]
    outputs: dict[str, int] = {}
    gradient = len(graph.functions)
    for i, request in enumerate(requests):
        wrt = _positions(main, request.wrt)
        match request.kind:
            case Kind.VALUE:
                values = b.add_multi("Call", *primals, function=index)
                outputs |= {f"value/{n}": v for n, v in zip(main.output_names, values, strict=True)}
            case Kind.GRAD:
                _loss(main)
                one = b.constant(1, main.out_avals[0].dtype)
                rows = b.add_multi("Vjp", *primals, one, function=index, wrt=wrt, outs=(0,))
                outputs |= _named("grad", i, request.wrt, rows[len(main.outputs) :])
            case Kind.VJP:
                outs = _out_positions(main, request.outs)
                rows = b.add_multi("Vjp", *primals, *seeds[i], function=index, wrt=wrt, outs=outs)
                outputs |= _named("vjp", i, request.wrt, rows[len(main.outputs) :])
            case Kind.JVP:
                outs = _out_positions(main, request.outs)
                rows = b.add_multi("Jvp", *primals, *seeds[i], function=index, wrt=wrt, outs=outs)
                names = [main.output_names[k] for k in outs]
                outputs |= _named("jvp", i, names, rows[len(main.outputs) :])
            case Kind.HVP:
                every = tuple(range(len(wrt)))
                rows = b.add_multi(
                    "Jvp", *primals, *seeds[i], function=gradient, wrt=wrt, outs=every
                )
                outputs |= _named("hvp", i, request.wrt, rows[len(wrt) :])
                gradient += 1
    functions.append(b.finish(list(outputs.values()), list(outputs), "request"))
    return Graph(tuple(functions), (*debug, b.debug()))


def _seeds(b: Builder, main: Function, i: int, request: Request) -> list[int]:
    """The extra feeds of a request, as inputs."""
    ins = dict(zip(main.input_names, main.in_avals, strict=True))
    wrt = [(name, ins[main.input_names[p]]) for p, name in _pairs(main, request)]
    if request.kind is Kind.VJP:
        outs = [
            (main.output_names[k], main.out_avals[k]) for k in _out_positions(main, request.outs)
        ]
        return _inputs(b, f"ct/{i}", outs)
    if request.kind is Kind.JVP:
        return _inputs(b, f"t/{i}", wrt)
    return _inputs(b, f"v/{i}", wrt) if request.kind is Kind.HVP else []


def _pairs(main: Function, request: Request) -> list[tuple[int, str]]:
    return list(zip(_positions(main, request.wrt), request.wrt, strict=True))


def _inputs(b: Builder, prefix: str, named: Sequence[tuple[str, Aval]]) -> list[int]:
    return [b.input(f"{prefix}/{name}", aval) for name, aval in named]


def _named(kind: str, i: int, names: Sequence[str], rows: Sequence[int]) -> dict[str, int]:
    return {f"{kind}/{i}/{name}": row for name, row in zip(names, rows, strict=True)}


def _gradient(
    functions: tuple[Function, ...], index: int, wrt: tuple[int, ...]
) -> tuple[Function, Debug]:
    """x -> the gradient of function `index` with respect to `wrt`."""
    body = functions[index]
    b = Builder(functions)
    primals = [b.input(n, a) for n, a in zip(body.input_names, body.in_avals, strict=True)]
    one = b.constant(1, body.out_avals[0].dtype)
    rows = b.add_multi("Vjp", *primals, one, function=index, wrt=wrt, outs=(0,))
    names = [f"grad/{body.input_names[p]}" for p in wrt]
    return b.finish(rows[len(body.outputs) :], names, "gradient"), b.debug()


def _positions(main: Function, names: Sequence[str]) -> tuple[int, ...]:
    known = {name: i for i, name in enumerate(main.input_names)}
    for name in names:
        if name not in known:
            raise InvalidGraph(
                f"wrt names {name[:64]!r}, which is no input",
                code=ErrorCode.BAD_REF,
                cure=f"inputs are {', '.join(list(known)[:8])}",
            )
    return tuple(known[name] for name in names)


def _out_positions(main: Function, names: Sequence[str]) -> tuple[int, ...]:
    if not names:
        return tuple(i for i, aval in enumerate(main.out_avals) if aval.dtype.is_float)
    known = {name: i for i, name in enumerate(main.output_names)}
    for name in names:
        if name not in known:
            raise InvalidGraph(
                f"output {name[:64]!r} is not there",
                code=ErrorCode.BAD_REF,
                cure=f"outputs are {', '.join(list(known)[:8])}",
            )
    return tuple(known[name] for name in names)


def _loss(main: Function) -> None:
    aval = main.out_avals[0]
    if aval.shape != () or not aval.dtype.is_float:
        raise InvalidGraph(
            f"the gradient of {main.output_names[0]}, which is {aval}",
            code=ErrorCode.BAD_LOSS,
            cure="make the first output a floating-point scalar, or ask for a vjp",
        )
