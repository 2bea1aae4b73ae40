"""A training step as one graph: loss, gradients, optimizer update; forward graphs over a session's state."""

from collections.abc import Mapping

from chainrule.errors import ErrorCode, InvalidGraph, ShapeMismatch
from chainrule.ir.attrs import callees
from chainrule.ir.avals import DType
from chainrule.ir.builder import Builder
from chainrule.ir.canonical import renumber
from chainrule.ir.expr import Expr, apply, reduce_sum, sqrt
from chainrule.ir.expr import cast as cast_to
from chainrule.ir.graph import Function, Graph
from chainrule_server.engine.compiler import compile_main
from chainrule_server.engine.program import STATE_READ, STATE_WRITE, Place, Program


def compile_step(
    loss: Graph, update: Graph, *, places: Mapping[str, int], microshard_rows: int = 0
) -> Program:
    """The program of one step.

    Args:
        loss: inputs params/.. [buffers/..] batch/.. [capture/.. $key], outputs loss [buffers/.. metrics/..].
        update: inputs grads/.. state/.. params/.. step, outputs updates/.. state/..; trained are the
            parameters that it has an input grads/.. for.
        places: offset of every params/.., buffers/.. and state/.. leaf in a state buffer.
        microshard_rows: 0 takes the release's table.

    Returns:
        A program that reads STATE_READ, writes params (params + updates), buffers and optimizer state to
        STATE_WRITE, and leaves loss, metrics/.., grad_norm, grad_norm/<parameter> and finite on the board.

    Raises:
        GraphError: graphs that don't fit each other.
    """
    graph, written = step_graph(loss, update)
    ins = {
        name: Place(STATE_READ, places[name]) for name in graph.main.input_names if name in places
    }
    outs = {new_name(name): Place(STATE_WRITE, places[name]) for name in written}
    program = compile_main(graph, ins | outs, microshard=microshard_rows or None)
    return renamed(program, {new_name(name): name for name in written})


def compile_forward(
    graph: Graph, *, places: Mapping[str, int], microshard_rows: int = 0
) -> Program:
    """A graph's outputs on the board, its params/.., buffers/.. read from a session's state."""
    ins = {
        name: Place(STATE_READ, places[name]) for name in graph.main.input_names if name in places
    }
    return compile_main(graph, ins, microshard=microshard_rows or None)


def trained_of(update: Function) -> list[str]:
    """The parameters that an optimizer's update has a gradient for, in its order."""
    return [f"params{n.removeprefix('grads')}" for n in update.input_names if is_under(n, "grads")]


def is_under(name: str, root: str) -> bool:
    """`grads/..`, or `grads` alone where the tree is one bare array."""
    return name == root or name.startswith(f"{root}/")


def new_name(name: str) -> str:
    """The output that renews a leaf."""
    return f"new/{name}"


def renamed(program: Program, names: Mapping[str, str]) -> Program:
    """New values leave under the name of the leaf that they replace."""
    outputs = tuple(
        type(p)(names.get(p.name, p.name), p.aval, p.place, p.key) for p in program.outputs
    )
    return Program(program.inputs, outputs, program.stages, program.rows, program.notices)


def step_graph(loss: Graph, update: Graph) -> tuple[Graph, tuple[str, ...]]:
    """One graph for a step, and the names of the leaves that it renews (outputs `new/<leaf>`)."""
    body, rule = loss.main, update.main
    trained = trained_of(rule)
    check_trained(body, trained)
    # Functions of both graphs in one table: the update's references are shifted behind the loss's.
    shift = len(loss.functions)
    functions = (*loss.functions, *(shifted(f, shift) for f in update.functions))
    b = Builder(functions)
    feeds = dict(zip(body.input_names, body.in_avals, strict=True))
    for name, aval in zip(rule.input_names, rule.in_avals, strict=True):
        if not is_under(name, "grads") and feeds.setdefault(name, aval) != aval:
            raise ShapeMismatch(
                f"{name} is {feeds[name]} in the loss and {aval} in the optimizer",
                code=ErrorCode.INCOMPATIBLE,
                cure="make the optimizer from these parameters",
            )
    rows = {name: b.input(name, aval) for name, aval in feeds.items()}
    primals = [rows[name] for name in body.input_names]
    one = b.constant(1, body.out_avals[0].dtype)
    wrt = tuple(body.input_names.index(name) for name in trained)
    found = b.add_multi("Vjp", *primals, one, function=shift - 1, wrt=wrt, outs=(0,))
    values, grads = found[: len(body.outputs)], found[len(body.outputs) :]
    outputs = report(b, body, values, dict(zip(trained, grads, strict=True)))
    by_name = dict(zip((f"grads{n.removeprefix('params')}" for n in trained), grads, strict=True))
    operands = [
        by_name[name] if is_under(name, "grads") else rows[name] for name in rule.input_names
    ]
    called = b.add_multi("Call", *operands, function=len(functions) - 1)
    results = dict(zip(rule.output_names, called, strict=True))
    written = renewed(b, rows, results | dict(zip(body.output_names, values, strict=True)))
    outputs |= {new_name(name): row for name, row in written.items()}
    main = b.finish(list(outputs.values()), list(outputs), "step")
    debug = (
        *(loss.debug_of(i) for i in range(shift)),
        *(update.debug_of(i) for i in range(len(update.functions))),
        b.debug(),
    )
    return Graph((*functions, main), debug), tuple(written)


def renewed(b: Builder, rows: Mapping[str, int], results: Mapping[str, int]) -> dict[str, int]:
    """The new value of every leaf, each as large as the leaf whose place it takes."""
    written = {}
    for name, row in results.items():
        leaf = f"params{name.removeprefix('updates')}" if is_under(name, "updates") else name
        if leaf == name and not (is_under(name, "state") or is_under(name, "buffers")):
            continue
        held = b.aval(rows[leaf]) if leaf in rows else None
        # State and buffers that are only written are as large as their maker says.
        if b.aval(row) != held and (leaf != name or held is not None):
            raise ShapeMismatch(
                f"{name} is {b.aval(row)}, the leaf that it renews is {held or 'not there'}",
                code=ErrorCode.INCOMPATIBLE,
                cure="make the optimizer from these parameters",
            )
        written[leaf] = row if leaf == name else b.add("Add", rows[leaf], row)
    return written


def check_trained(body: Function, trained: list[str]) -> None:
    """That a loss gives a scalar first and reads what is trained.

    Raises:
        InvalidGraph: it doesn't.
    """
    aval = body.out_avals[0]
    if body.output_names[0] != "loss" or aval.shape != () or not aval.dtype.is_float:
        raise InvalidGraph(
            f"the first output is {body.output_names[0]}, {aval}",
            code=ErrorCode.BAD_LOSS,
            cure="a session's loss gives a floating-point scalar first",
        )
    missing = [n for n in trained if n not in body.input_names]
    if missing or not trained:
        raise InvalidGraph(
            f"the optimizer trains {', '.join(missing[:4]) or 'nothing'}, no input of the loss",
            code=ErrorCode.INCOMPATIBLE,
            cure="make the optimizer from the parameters of this loss",
        )


def report(
    b: Builder, body: Function, values: tuple[int, ...], grads: Mapping[str, int]
) -> dict[str, int]:
    """loss, metrics, norms and the finite flag.

    grad_norm = sqrt(sum of squares), summed over parameters in float64; finite = loss and norm are.
    """
    outputs = {
        name: row
        for name, row in zip(body.output_names, values, strict=True)
        if not is_under(name, "buffers")
    }
    outputs |= norms(b, grads)
    loss = apply("IsFinite", cast_to(Expr(b, values[0]), DType.FLOAT64))
    outputs["finite"] = apply("And", loss, Expr(b, outputs["finite"])).id
    return outputs


def norms(b: Builder, grads: Mapping[str, int]) -> dict[str, int]:
    """grad_norm, grad_norm/<parameter> and whether the former is finite, by the parameters' names."""
    outputs = {}
    total: Expr | None = None
    for name, row in grads.items():
        g = Expr(b, row)
        squares = cast_to(reduce_sum(g * g, tuple(range(g.aval.rank))), DType.FLOAT64)
        outputs[f"grad_norm{name.removeprefix('params')}"] = sqrt(squares).id
        total = squares if total is None else total + squares
    assert total is not None
    norm = sqrt(total)
    outputs["grad_norm"] = norm.id
    outputs["finite"] = apply("IsFinite", norm).id
    return outputs


def shifted(function: Function, by: int) -> Function:
    """The function with its references to others moved up the table."""
    number = {i: i + by for row in function.attrs for i in callees(row)}
    return renumber(function, number)
