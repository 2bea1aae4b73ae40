"""What each node of a request costs, from the plan's own measures; nothing is run."""

from chainrule.ir.graph import Graph
from chainrule.wire.records import NodeCost
from chainrule_server.engine.answers import answer
from chainrule_server.engine.ops import OPS
from chainrule_server.engine.program import Program
from chainrule_server.engine.requests import Request
from chainrule_server.engine.specialise import specialise

_LEAVES = ("Input", "Constant", "Iota", "Item")


def node_costs(graph: Graph, requests: tuple[Request, ...], n: int) -> tuple[NodeCost, ...]:
    """Operations and bytes of every primitive of the request, before sharing work between shards.

    Args:
        graph: checked.
        requests: what is asked of it.
        n: examples.
    """
    flat = answer(graph, requests)
    function = specialise(flat.function, n)
    out = []
    for node in function:
        if node.op in _LEAVES or node.op not in OPS:
            continue
        avals = tuple(function.avals[i] for i in node.inputs)
        flops = OPS[node.op].cost(avals, node.aval, dict(node.attrs))
        out.append(
            NodeCost(
                function="request",
                node=node.id,
                op=node.op,
                label=flat.debug.label(node.id) or "",
                source_line=flat.debug.line(node.id) or "",
                flops=float(flops),
                nbytes=node.aval.nbytes,
            )
        )
    return tuple(out)


def run_bytes(program: Program, n: int, workers: int) -> int:
    """Bytes that a run takes in all processes: the board, and scratch and partials of every worker."""
    layout = program.layout(n)
    scratch = max(layout.peak_bytes - layout.nbytes, 0)
    used = min(workers, len(layout.microshards)) if program.rows else 1
    partials = max(
        (layout.partials(i).nbytes for i, stage in enumerate(program.stages) if stage.sharded),
        default=0,
    )
    # The answers are copied off the board once.
    answers = sum(port.aval.concrete(n).nbytes for port in program.outputs)
    return layout.nbytes + used * scratch + 2 * used * partials + answers
