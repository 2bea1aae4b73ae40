"""From a graph with structure to one flat function of primitives and loops.

Call is inlined; of a Vmap the body is mapped over its lanes first. Vjp and Jvp are taken on the body as a
function of its own, then inlined: never with respect to nodes of the outer function, which gives right first
derivatives and wrong second ones. Library functions are expanded. Since functions name earlier functions
only, one pass in order is enough, at any nesting.
"""

from collections.abc import Sequence
from typing import cast

from chainrule.errors import ErrorCode, LimitExceeded
from chainrule.ir.attrs import callees
from chainrule.ir.avals import Shape
from chainrule.ir.builder import Builder
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.graph import Debug, Function, Graph
from chainrule_server.engine.autodiff import jvp, vjp
from chainrule_server.engine.batching import vmap
from chainrule_server.engine.flat import MAX_FLAT_NODES, Flat, define, finish, inline


class _Budget:
    """Counts the rows that are copied, in all functions together, before they are."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0

    def spend(self, rows: int) -> None:
        """Take so many rows.

        Raises:
            LimitExceeded: that is more than there are.
        """
        self.spent += rows
        if self.spent > self.limit:
            raise LimitExceeded(
                f"inlined functions come to more than {self.limit} nodes",
                code=ErrorCode.TOO_MANY_NODES,
                cure="nest fewer calls and derivatives",
                limit=self.limit,
                value=self.spent,
            )


def flatten(graph: Graph, limit: int = MAX_FLAT_NODES) -> Flat:
    """`main` with calls, derivatives and library functions in place; loops stay, their bodies flat too.

    Raises:
        LimitExceeded: nested calls and derivatives multiply to more than `limit` rows.
    """
    flats: list[Flat] = []
    budget = _Budget(limit)
    needed = _reachable(graph)
    for index, function in enumerate(graph.functions):
        if index in needed:
            flats.append(_flatten(function, graph.debug_of(index), flats, budget))
        else:
            flats.append(Flat(function, Debug()))
    return flats[-1]


def _reachable(graph: Graph) -> set[int]:
    needed = {len(graph.functions) - 1}
    for index in range(len(graph.functions) - 1, -1, -1):
        if index in needed:
            for attrs in graph.functions[index].attrs:
                needed.update(callees(attrs))
    return needed


def _flatten(function: Function, debug: Debug, flats: Sequence[Flat], budget: _Budget) -> Flat:
    b = Builder()
    rows: list[int] = []
    outputs: dict[int, tuple[int, ...]] = {}
    for node in function:
        label, line = debug.label(node.id) or "", debug.line(node.id) or ""
        b.label, b.line = label, line
        attrs = dict(node.attrs)
        inputs = tuple(rows[i] for i in node.inputs)
        if node.op == "Input":
            rows.append(b.input(str(attrs["name"]), node.aval))
            continue
        if node.op == "Item":
            rows.append(outputs[node.inputs[0]][cast(int, attrs["index"])])
            continue
        if node.op in ("Call", "Vjp", "Jvp", "Vmap"):
            body = flats[cast(int, attrs["function"])]
            if node.op == "Vmap":
                budget.spend(len(body.function))
                axes = [None if a < 0 else a for a in cast(tuple[int, ...], attrs["in_axes"])]
                body = vmap(body, axes, cast(Shape, attrs["size"])[0])
            elif node.op != "Call":
                # The sweep copies the body and emits at least as much again.
                budget.spend(2 * len(body.function))
                derive = vjp if node.op == "Vjp" else jvp
                wrt, outs = (
                    cast(tuple[int, ...], attrs["wrt"]),
                    cast(tuple[int, ...], attrs["outs"]),
                )
                body = derive(body, wrt, outs)
            budget.spend(len(body.function))
            outputs[node.id] = inline(b, body, inputs, line)
        elif node.op in FUNCTIONS:
            outputs[node.id] = FUNCTIONS[node.op].expand(b, inputs, attrs)
        else:
            for name in ("function", "otherwise"):
                if name in attrs:
                    body = flats[cast(int, attrs[name])]
                    budget.spend(len(body.function))
                    attrs[name] = define(b, body)
            outputs[node.id] = b.add_multi(node.op, *inputs, **attrs)
        rows.append(outputs[node.id][0])
    return finish(b, [rows[i] for i in function.outputs], function.output_names, function.name)
