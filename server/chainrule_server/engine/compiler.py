"""From a graph and what is asked of it to a program."""

from collections.abc import Mapping, Sequence

from chainrule.errors import ErrorCode, InvalidGraph
from chainrule.ir.graph import Graph
from chainrule_server.engine.answers import answer
from chainrule_server.engine.extract import BATCH, OFFSET
from chainrule_server.engine.flat import Flat
from chainrule_server.engine.lower import lower
from chainrule_server.engine.program import (
    STATE_READ,
    STATE_WRITE,
    Notice,
    Place,
    Port,
    Program,
    Stage,
)
from chainrule_server.engine.requests import Request
from chainrule_server.engine.sharding import Rows, rows_for
from chainrule_server.engine.split import Coupled, analyse
from chainrule_server.engine.stages import build, key_of, output_key, rounds, unsplit
from chainrule_server.engine.states import Batched, Partial, State
from chainrule_server.engine.structure import flatten

_SAMPLE = 64
# More rounds than this and the batch is run whole, with a notice.
_MAX_ROUNDS = 1


def compile_request(
    graph: Graph, requests: Sequence[Request], *, microshard: int | None = None
) -> Program:
    """The program that answers requests about a checked graph.

    Args:
        graph: checked.
        requests: one or more; their answers are named as in `requests`.
        microshard: examples a microshard; by default from the graph's cost, never from the machine.

    Raises:
        GraphError: names, a loss that is no scalar, a derivative of what has none.
    """
    return compile_flat(answer(graph, requests), microshard=microshard)


def compile_main(
    graph: Graph, places: Mapping[str, Place], *, microshard: int | None = None
) -> Program:
    """The program that computes the outputs of `main`.

    Args:
        graph: checked.
        places: of inputs in STATE_READ and outputs in STATE_WRITE, by name; the rest lies on the board. An
            output that is called like an input in the state is not written there.
        microshard: as above.
    """
    return compile_flat(flatten(graph), places, microshard=microshard)


def compile_flat(
    flat: Flat, places: Mapping[str, Place] | None = None, *, microshard: int | None = None
) -> Program:
    """The program of a function of primitives; see `compile_main`."""
    places = places or {}
    ins = {name: place for name, place in places.items() if place.region == STATE_READ}
    outs = {name: place for name, place in places.items() if place.region == STATE_WRITE}
    flat = lower(flat)
    f = flat.function
    for name in f.input_names:
        if name.startswith("~") or name in (BATCH, OFFSET):
            raise InvalidGraph(
                f"the name {name[:64]!r} of an input is the engine's own",
                code=ErrorCode.BAD_NAME,
                cure="give the input another name",
            )
    states, notices = _states(flat)
    whole = {k for k, name in enumerate(f.output_names) if name in outs}
    stages = unsplit(flat) if states is None else build(flat, states, whole)
    inputs = tuple(
        Port(name, aval, ins.get(name, Place()), name)
        for name, aval in zip(f.input_names, f.in_avals, strict=True)
    )
    outputs = tuple(
        Port(
            name,
            f.avals[row],
            outs.get(name, Place()),
            _output_key(states, k, row, name, whole),
        )
        for k, (row, name) in enumerate(zip(f.outputs, f.output_names, strict=True))
    )
    sharded = [s for s in stages if s.sharded]
    rows = None
    if sharded:
        rows = Rows(microshard, microshard) if microshard else rows_for(_flops_per_example(sharded))
    return Program(inputs, outputs, stages, rows, notices)


def _states(flat: Flat) -> tuple[tuple[State, ...] | None, tuple[Notice, ...]]:
    """The states of a batch that can be cut; None, and why, where it can't."""
    f = flat.function
    if not any(a.is_batched for a in f.in_avals):
        return None, ()
    try:
        states = analyse(flat)
        if rounds(states) > _MAX_ROUNDS:
            first = next(
                i for i, s in enumerate(states) if isinstance(s, Batched) and s.level > _MAX_ROUNDS
            )
            raise Coupled(
                first,
                f"examples meet {rounds(states)} times before the last sum, above {_MAX_ROUNDS}",
            )
    except Coupled as coupled:
        label = flat.debug.label(coupled.row) or f.ops[coupled.row]
        line = flat.debug.line(coupled.row) or ""
        text = f"the batch runs unsplit on one worker: {coupled.why}"
        return None, (Notice("COUPLED", text, label, line),)
    return states, ()


def _output_key(
    states: tuple[State, ...] | None, k: int, row: int, name: str, whole: set[int]
) -> str:
    if states is None or k in whole or not isinstance(states[row], Batched | Partial):
        return output_key(name)
    return key_of(row)


def _flops_per_example(sharded: Sequence[Stage]) -> int:
    return sum(stage.plan(_SAMPLE).flops for stage in sharded) // _SAMPLE
