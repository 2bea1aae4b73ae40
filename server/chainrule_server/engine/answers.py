"""All requests about a graph as one flat function; work that they share is done once."""

from collections.abc import Sequence

from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule.ir.graph import Graph
from chainrule_server.engine import many
from chainrule_server.engine.flat import Flat, finish, inline
from chainrule_server.engine.requests import (
    Kind,
    Request,
    check_asked,
    extend,
    loss_position,
    out_positions,
    positions,
    seed_avals,
)
from chainrule_server.engine.structure import flatten


def answer(graph: Graph, requests: Sequence[Request]) -> Flat:
    """The function that answers all requests at once.

    Answers are named as in `requests`; further for request i `jacobian/<i>/<k>/<j>` and
    `hessian/<i>/<k>/<j>`, the k-th output (input) by the j-th input, and `per_example/<i>/<input>`. With
    lanes, an answer has them as its leading axis.

    Raises:
        GraphError: names, what has no derivative, a batch where none can be.
    """
    check_asked(requests)
    if all(request.is_single for request in requests):
        return flatten(extend(graph, requests))
    main = graph.main
    b = Builder()
    known = {n: b.input(n, a) for n, a in zip(main.input_names, main.in_avals, strict=True)}
    primals = list(known.values())
    for i, request in enumerate(requests):
        known |= {name: b.input(name, aval) for name, aval in seed_avals(main, i, request)}
    outputs: dict[str, int] = {}
    if any(request.is_single for request in requests):
        single = flatten(extend(graph, requests))
        rows = inline(b, single, [known[name] for name in single.function.input_names])
        outputs |= dict(zip(single.function.output_names, rows, strict=True))
    base = flatten(graph)
    for i, request in enumerate(requests):
        if not request.is_single:
            seeds = [known[name] for name, _ in seed_avals(main, i, request)]
            found = _many(b, base, primals, seeds, request)
            prefix = f"{request.kind.value}/{i}"
            outputs |= {f"{prefix}/{name}": value.id for name, value in found.items()}
    return finish(b, list(outputs.values()), list(outputs), "request")


def _many(
    b: Builder, flat: Flat, primals: Sequence[int], seeds: Sequence[int], request: Request
) -> dict[str, Expr]:
    main = flat.function
    wrt = positions(main, request.wrt)
    kind = request.kind
    if kind in (Kind.HESSIAN, Kind.PER_EXAMPLE, Kind.HVP):
        outs: tuple[int, ...] = (loss_position(main, request.outs),)
    else:
        outs = out_positions(main, request.outs)
    many.check_wrt(main, wrt, outs)
    match kind:
        case Kind.JACOBIAN:
            pairs = many.jacobian(b, flat, primals, wrt, outs)
            return {f"{k}/{j}": value for (k, j), value in pairs.items()}
        case Kind.HESSIAN:
            pairs = many.hessian(b, flat, primals, wrt, outs[0])
            return {f"{k}/{j}": value for (k, j), value in pairs.items()}
        case Kind.PER_EXAMPLE:
            rows = many.per_example(b, flat, primals, wrt, outs[0])
            return dict(zip(request.wrt, rows, strict=True))
    lanes = many.stacked(b, seeds, request.lanes)
    if kind is Kind.VJP:
        rows = many.many_vjp(b, flat, primals, wrt, outs, lanes)
        return dict(zip(request.wrt, rows, strict=True))
    if kind is Kind.JVP:
        rows = many.many_jvp(b, flat, primals, wrt, outs, lanes)
        return dict(zip((main.output_names[k] for k in outs), rows, strict=True))
    gradient = many.gradient_of(flat, wrt, outs[0])
    rows = many.many_jvp(b, gradient, primals, wrt, range(len(wrt)), lanes)
    return dict(zip(request.wrt, rows, strict=True))
