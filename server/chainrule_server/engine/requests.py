"""What may be asked of a graph, written as a larger graph: a derivative is another graph (law 2).

Names of the answers: `value/<output>`, and for request i: `grad/<i>/<input>`, `vjp/<i>/<input>`,
`jvp/<i>/<output>`, `hvp/<i>/<input>`. A vjp reads the feeds `ct/<i>/<output>`, a jvp `t/<i>/<input>`, an hvp
`v/<i>/<input>`. What takes many derivatives at once is written in `answers`.
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
    JACOBIAN = "jacobian"
    HESSIAN = "hessian"
    PER_EXAMPLE = "per_example"


@dataclass(frozen=True, slots=True)
class Request:
    """One thing asked.

    Attributes:
        kind: which.
        wrt: names of inputs to differentiate with respect to; none for a value.
        outs: names of outputs that a vjp has cotangents for, or a jvp or Jacobian is asked for; empty
            means every floating-point output. grad, hvp, hessian and per_example take one scalar; empty
            means the first output.
        lanes: of a vjp, jvp or hvp: its seeds carry a leading axis of so many; 0: they are single.
    """

    kind: Kind
    wrt: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    lanes: int = 0

    @property
    def is_single(self) -> bool:
        """Whether one pass through the graph answers it."""
        return self.kind not in _MANY and not self.lanes


_MANY = (Kind.JACOBIAN, Kind.HESSIAN, Kind.PER_EXAMPLE)


def extend(graph: Graph, requests: Sequence[Request]) -> Graph:
    """The graph whose main answers all single requests at once; shared work is merged by the builder.

    Raises:
        InvalidGraph: names that aren't there; a gradient of something that is no scalar (BAD_LOSS).
    """
    check_asked(requests)
    main = graph.main
    index = len(graph.functions) - 1
    functions = list(graph.functions)
    debug = [graph.debug_of(i) for i in range(len(graph.functions))]
    for request in requests:
        if request.kind is Kind.HVP and request.is_single:
            loss = loss_position(main, request.outs)
            inner = _gradient(graph.functions, index, positions(main, request.wrt), loss)
            functions.append(inner[0])
            debug.append(inner[1])
    b = Builder(tuple(functions))
    primals = [b.input(n, a) for n, a in zip(main.input_names, main.in_avals, strict=True)]
    seeds = [
        [b.input(name, aval) for name, aval in seed_avals(main, i, request)]
        if request.is_single
        else []
        for i, request in enumerate(requests)
    ]
    outputs: dict[str, int] = {}
    gradient = len(graph.functions)
    for i, request in enumerate(requests):
        if not request.is_single:
            continue
        wrt = positions(main, request.wrt)
        match request.kind:
            case Kind.VALUE:
                values = b.add_multi("Call", *primals, function=index)
                outputs |= {f"value/{n}": v for n, v in zip(main.output_names, values, strict=True)}
            case Kind.GRAD:
                loss = loss_position(main, request.outs)
                one = b.constant(1, main.out_avals[loss].dtype)
                rows = b.add_multi("Vjp", *primals, one, function=index, wrt=wrt, outs=(loss,))
                outputs |= _named("grad", i, request.wrt, rows[len(main.outputs) :])
            case Kind.VJP:
                outs = out_positions(main, request.outs)
                rows = b.add_multi("Vjp", *primals, *seeds[i], function=index, wrt=wrt, outs=outs)
                outputs |= _named("vjp", i, request.wrt, rows[len(main.outputs) :])
            case Kind.JVP:
                outs = out_positions(main, request.outs)
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


def check_asked(requests: Sequence[Request]) -> None:
    """Refuse an empty list.

    Raises:
        InvalidGraph: MISSING_FIELD.
    """
    if not requests:
        raise InvalidGraph(
            "no request", code=ErrorCode.MISSING_FIELD, cure="ask for a value at least"
        )


def seed_avals(main: Function, i: int, request: Request) -> list[tuple[str, Aval]]:
    """The extra feeds of request i, with its lanes in front where it has some."""
    ins = dict(zip(main.input_names, main.in_avals, strict=True))
    positions(main, request.wrt)
    if request.kind is Kind.VJP:
        named = [
            (main.output_names[k], main.out_avals[k]) for k in out_positions(main, request.outs)
        ]
    else:
        named = [(name, ins[name]) for name in request.wrt]
    front = (request.lanes,) if request.lanes else ()
    prefix = _SEEDS.get(request.kind)
    if prefix is None:
        return []
    return [(f"{prefix}/{i}/{n}", Aval(a.dtype, (*front, *a.shape))) for n, a in named]


_SEEDS = {Kind.VJP: "ct", Kind.JVP: "t", Kind.HVP: "v"}


def _named(kind: str, i: int, names: Sequence[str], rows: Sequence[int]) -> dict[str, int]:
    return {f"{kind}/{i}/{name}": row for name, row in zip(names, rows, strict=True)}


def _gradient(
    functions: tuple[Function, ...], index: int, wrt: tuple[int, ...], loss: int
) -> tuple[Function, Debug]:
    """x -> the gradient of function `index` with respect to `wrt`."""
    body = functions[index]
    b = Builder(functions)
    primals = [b.input(n, a) for n, a in zip(body.input_names, body.in_avals, strict=True)]
    one = b.constant(1, body.out_avals[loss].dtype)
    rows = b.add_multi("Vjp", *primals, one, function=index, wrt=wrt, outs=(loss,))
    names = [f"grad/{body.input_names[p]}" for p in wrt]
    return b.finish(rows[len(body.outputs) :], names, "gradient"), b.debug()


def positions(main: Function, names: Sequence[str]) -> tuple[int, ...]:
    """The positions of inputs.

    Raises:
        InvalidGraph: one is not there (BAD_REF).
    """
    known = {name: i for i, name in enumerate(main.input_names)}
    for name in names:
        if name not in known:
            raise InvalidGraph(
                f"wrt names {name[:64]!r}, which is no input",
                code=ErrorCode.BAD_REF,
                cure=f"inputs are {', '.join(list(known)[:8])}",
            )
    return tuple(known[name] for name in names)


def out_positions(main: Function, names: Sequence[str]) -> tuple[int, ...]:
    """The positions of outputs; of every floating-point one where none is named.

    Raises:
        InvalidGraph: one is not there (BAD_REF).
    """
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


def loss_position(main: Function, outs: Sequence[str]) -> int:
    """The scalar output that is differentiated: the one named, or the first.

    Raises:
        InvalidGraph: it is no floating-point scalar, or there are several (BAD_LOSS).
    """
    chosen = out_positions(main, outs) if outs else (0,)
    aval = main.out_avals[chosen[0]]
    if len(chosen) != 1 or aval.shape != () or not aval.dtype.is_float:
        named = ", ".join(main.output_names[k] for k in chosen)[:64]
        raise InvalidGraph(
            f"the gradient of {named}, which is {aval}",
            code=ErrorCode.BAD_LOSS,
            cure="make it one floating-point scalar, or ask for a vjp",
        )
    return chosen[0]
