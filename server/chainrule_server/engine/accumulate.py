"""A step in two halves: gradients added up over several batches, then one update with their mean.

Weights are in units of the first batch's, so one batch alone gives the bits of a step, and k batches of one
size give the mean of their gradients: sum(w_i g_i) / sum(w_i).
"""

from collections.abc import Mapping

from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, where
from chainrule.ir.expr import cast as cast_to
from chainrule.ir.graph import Graph
from chainrule_server.engine.compiler import compile_main
from chainrule_server.engine.program import STATE_READ, STATE_WRITE, Place, Program
from chainrule_server.engine.step import (
    check_trained,
    is_under,
    new_name,
    norms,
    renamed,
    renewed,
    report,
    trained_of,
)

_SCALAR = Aval(DType.FLOAT64)


def compile_gradients(
    loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int = 0
) -> Program:
    """The program that adds the gradient of one batch to what has accumulated.

    Args:
        loss, microshard_rows: as of `compile_step`.
        update: says which parameters have a gradient.
        places: as of `compile_step`, and of a grads/.. leaf for each of those parameters.

    Returns:
        A program with the further feeds `weight` (float64) and `keep` (bool: something has accumulated). It
        writes grads/.. and buffers to STATE_WRITE, and leaves on the board what a step leaves there.

    Raises:
        GraphError: graphs that don't fit each other.
    """
    body = loss.main
    trained = trained_of(update.main)
    check_trained(body, trained)
    b = Builder(loss.functions)
    rows = {n: b.input(n, a) for n, a in zip(body.input_names, body.in_avals, strict=True)}
    avals = dict(zip(update.main.input_names, update.main.in_avals, strict=True))
    sums = [f"grads{name.removeprefix('params')}" for name in trained]
    held = {name: Expr(b, b.input(name, avals[name])) for name in sums}
    weight = Expr(b, b.input("weight", _SCALAR))
    keep = Expr(b, b.input("keep", Aval(DType.BOOL)))
    one = b.constant(1, body.out_avals[0].dtype)
    wrt = tuple(body.input_names.index(name) for name in trained)
    found = b.add_multi(
        "Vjp",
        *rows.values(),
        one,
        function=len(loss.functions) - 1,
        wrt=wrt,
        outs=(0,),
    )
    values, grads = found[: len(body.outputs)], found[len(body.outputs) :]
    outputs = report(b, body, values, dict(zip(trained, grads, strict=True)))
    written = {}
    for name, row in zip(sums, grads, strict=True):
        share = Expr(b, row) * cast_to(weight, held[name].aval.dtype)
        written[name] = where(keep, held[name] + share, share).id
    written |= renewed(b, rows, _buffers(dict(zip(body.output_names, values, strict=True))))
    return _compiled(b, loss, outputs, written, places, microshard_rows)


def compile_update(update: Graph, *, places: Mapping[str, int]) -> Program:
    """The program that updates with the accumulated gradients divided by the feed `total`.

    It reads grads/.., state/.. and params/.. from STATE_READ and takes `step`; it writes parameters and
    optimizer state to STATE_WRITE, and leaves grad_norm, grad_norm/<parameter> and finite on the board.
    """
    rule = update.main
    b = Builder(update.functions)
    rows = {n: b.input(n, a) for n, a in zip(rule.input_names, rule.in_avals, strict=True)}
    # An update may read no parameter, and yet each is renewed.
    for name in trained_of(rule):
        if name not in rows:
            rows[name] = b.input(name, b.aval(rows[f"grads{name.removeprefix('params')}"]))
    total = Expr(b, b.input("total", _SCALAR))
    means = {}
    for name in rule.input_names:
        if is_under(name, "grads"):
            held = Expr(b, rows[name])
            means[name] = (held / cast_to(total, held.aval.dtype)).id
    operands = [means.get(name, rows[name]) for name in rule.input_names]
    called = b.add_multi("Call", *operands, function=len(update.functions) - 1)
    written = renewed(b, rows, dict(zip(rule.output_names, called, strict=True)))
    outputs = norms(b, {f"params{n.removeprefix('grads')}": row for n, row in means.items()})
    return _compiled(b, update, outputs, written, places, 0)


def _buffers(results: Mapping[str, int]) -> dict[str, int]:
    return {name: row for name, row in results.items() if is_under(name, "buffers")}


def _compiled(
    b: Builder,
    graph: Graph,
    outputs: dict[str, int],
    written: Mapping[str, int],
    places: Mapping[str, int],
    microshard_rows: int,
) -> Program:
    outputs = outputs | {new_name(name): row for name, row in written.items()}
    main = b.finish(list(outputs.values()), list(outputs), "half")
    debug = (*(graph.debug_of(i) for i in range(len(graph.functions))), b.debug())
    whole = Graph((*graph.functions, main), debug)
    ins = {n: Place(STATE_READ, places[n]) for n in main.input_names if n in places}
    outs = {new_name(n): Place(STATE_WRITE, places[n]) for n in written}
    program = compile_main(whole, ins | outs, microshard=microshard_rows or None)
    return renamed(program, {new_name(n): n for n in written})
