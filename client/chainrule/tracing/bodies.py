"""Functions inside a traced function: a tape of their own, and the structure rows that name them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ErrorCode, TraceError
from chainrule.ir.avals import Aval
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, tape_now
from chainrule.tracing.refusals import refuse
from chainrule.tracing.source import user_source
from chainrule.tracing.spec import leaf_aval
from chainrule.tracing.tape import Tape, recording
from chainrule.tracing.tracer import Tracer


@dataclass(frozen=True, slots=True)
class Body:
    """One call of a function on its own tape.

    Attributes:
        tape: of the call.
        index: its number among the functions of the graph.
        rows: the rows of the caller that enter: the arguments' leaves, then what f closed over.
        arg_leaves: one entry an argument: the positions of its leaves, None for a static one.
        result: the tree that f returned; its leaves are the outputs in order.
    """

    tape: Tape
    index: int
    rows: tuple[int, ...]
    arg_leaves: tuple[tuple[int | None, ...], ...]
    result: Any

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        """Avals of the outputs."""
        return tuple(self.tape.rows[i].aval for i in self.tape.outputs)

    def in_aval(self, position: int) -> Aval:
        """The aval of an input."""
        return self.tape.rows[position].aval


def call_body(f: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Body:
    """Trace f on its own tape.

    Args:
        f: called with tracers for the arrays in args; what it uses from outside enters as inputs.
        args: trees of traced values, arrays, numbers and static values.
        kwargs: given to f as they are.

    Raises:
        TraceError: no function is being traced, or f returns nothing.
    """
    parent = tape_now()
    tape = Tape(parent)
    tape.name = getattr(f, "__name__", "body").strip("<>") or "body"
    rows: list[int] = []
    positions: list[tuple[int | None, ...]] = []
    given: list[Any] = []
    for i, arg in enumerate(args):
        leaves: list[Any] = []
        places: list[int | None] = []
        for name, leaf in leaves_of(arg, f"args/{i}"):
            if not isinstance(leaf, Tracer) and leaf_aval(leaf, name, False) is None:
                leaves.append(leaf)
                places.append(None)
                continue
            outer = as_tracer(leaf)
            places.append(len(rows))
            rows.append(outer.row)
            leaves.append(Tracer(tape, tape.input(name, outer.aval), outer.weak))
        given.append(rebuild(arg, leaves))
        positions.append(tuple(places))
    with recording(tape):
        result = f(*given, **kwargs)
        named = leaves_of(result, "out")
        outputs = [tape.lift(as_tracer(leaf)) for _, leaf in named]
    if not outputs:
        raise TraceError(
            f"{tape.name} returns nothing",
            code=ErrorCode.TRACE,
            line=user_source().text,
            cure="return an array or a tree of arrays",
        )
    tape.outputs, tape.output_names = tuple(outputs), tuple(name for name, _ in named)
    parent.root.bodies.append(tape)
    return Body(
        tape,
        len(parent.root.bodies) - 1,
        (*rows, *tape.bindings),
        tuple(positions),
        result,
    )


def emit_call(body: Body) -> list[Tracer]:
    """The outputs of a body."""
    return _emit("Call", body, (), {}, body.out_avals)


def emit_vjp(
    body: Body, wrt: Sequence[int], outs: Sequence[int], cotangents: Sequence[Any]
) -> list[Tracer]:
    """All outputs of a body, then a cotangent for each position in wrt."""
    seeds = _seeds(body.out_avals, outs, cotangents, "cotangent")
    avals = (*body.out_avals, *(body.in_aval(i) for i in wrt))
    return _emit("Vjp", body, seeds, {"wrt": tuple(wrt), "outs": tuple(outs)}, avals)


def emit_jvp(
    body: Body, wrt: Sequence[int], outs: Sequence[int], tangents: Sequence[Any]
) -> list[Tracer]:
    """All outputs of a body, then a tangent for each position in outs."""
    ins = tuple(body.in_aval(i) for i in range(len(body.rows)))
    seeds = _seeds(ins, wrt, tangents, "tangent")
    avals = (*body.out_avals, *(body.out_avals[i] for i in outs))
    return _emit("Jvp", body, seeds, {"wrt": tuple(wrt), "outs": tuple(outs)}, avals)


def _seeds(
    avals: Sequence[Aval], positions: Sequence[int], values: Sequence[Any], what: str
) -> list[int]:
    if len(values) != len(positions):
        raise refuse(
            f"{len(values)} {what}s for {len(positions)} values",
            f"give {what}s with the structure of what they belong to",
        )
    rows = []
    for position, value in zip(positions, values, strict=True):
        aval = avals[position]
        tracer = as_tracer(value, aval.dtype)
        if tracer.shape != aval.dims:
            raise refuse(
                f"a {what} of shape {tracer.shape} for a value of shape {aval.dims}",
                "give equal shapes",
            )
        rows.append(tracer.row)
    return rows


def _emit(
    op: str,
    body: Body,
    seeds: Sequence[int],
    attrs: dict[str, tuple[int, ...]],
    avals: Sequence[Aval],
) -> list[Tracer]:
    tape = tape_now()
    rows = tape.record_structure(op, (*body.rows, *seeds), {"function": body.index, **attrs}, avals)
    return [Tracer(tape, row) for row in rows]
