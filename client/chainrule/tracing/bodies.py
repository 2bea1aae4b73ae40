"""Functions inside a traced function: a tape of their own, and the structure rows that name them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ErrorCode, TraceError
from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, tape_now
from chainrule.tracing.refusals import refuse
from chainrule.tracing.source import user_source
from chainrule.tracing.spec import leaf_aval
from chainrule.tracing.tape import Tape, recording
from chainrule.tracing.tracer import Tracer


@dataclass(frozen=True, slots=True)
class Slot:
    """A leaf of an argument that no value of the caller's fills as it is: a carry, a slice, a cotangent."""

    aval: Aval
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """One call of a function on its own tape.

    Attributes:
        tape: of the call.
        index: its number among the functions of the graph.
        given: the rows of the caller that the arguments' leaves are, None for a slot.
        arg_leaves: one entry an argument: the positions of its leaves, None for a static one.
        result: the tree that f returned; its leaves are the outputs in order.
    """

    tape: Tape
    index: int
    given: tuple[int | None, ...]
    arg_leaves: tuple[tuple[int | None, ...], ...]
    result: Any

    @property
    def closures(self) -> tuple[int, ...]:
        """The rows of the caller that f closed over."""
        return tuple(self.tape.bindings)

    @property
    def rows(self) -> tuple[int, ...]:
        """The rows of the caller that enter: the arguments' leaves, then what f closed over."""
        return (*(row for row in self.given if row is not None), *self.closures)

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
        args: trees of traced values, arrays, numbers, slots and static values.
        kwargs: given to f as they are.

    Raises:
        TraceError: no function is being traced, or f returns nothing.
    """
    parent = tape_now()
    tape = Tape(parent)
    tape.name = getattr(f, "__name__", "body").strip("<>") or "body"
    rows: list[int | None] = []
    positions: list[tuple[int | None, ...]] = []
    given: list[Any] = []
    for i, arg in enumerate(args):
        leaves: list[Any] = []
        places: list[int | None] = []
        for name, leaf in leaves_of(arg, f"args/{i}"):
            if isinstance(leaf, Slot):
                aval, weak, row = leaf.aval, leaf.weak, None
            elif isinstance(leaf, Tracer) or leaf_aval(leaf, name, False) is not None:
                outer = as_tracer(leaf)
                aval, weak, row = outer.aval, outer.weak, outer.row
            else:
                leaves.append(leaf)
                places.append(None)
                continue
            places.append(len(rows))
            rows.append(row)
            leaves.append(Tracer(tape, tape.input(name, aval), weak))
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
    return Body(tape, len(parent.root.bodies) - 1, tuple(rows), tuple(positions), result)


def share_closures(*bodies: Body, after: int | None = None) -> list[Tracer]:
    """Let functions that stand for each other take the same values from outside; gives those.

    Args:
        bodies: of one caller.
        after: the inputs are ordered as the first `after` arguments' leaves, what is closed over, the other
            leaves. None: closures stand last.
    """
    parent = bodies[0].tape.parent
    assert parent is not None
    shared = tuple(dict.fromkeys(row for body in bodies for row in body.tape.bindings))
    for body in bodies:
        inner = tuple(body.tape.lift_row(parent, row) for row in shared)
        cut = len(body.given) if after is None else after
        args = range(len(body.given))
        body.tape.order = (*args[:cut], *inner, *args[cut:])
    return [Tracer(parent, row) for row in shared]


def emit_call(body: Body) -> list[Tracer]:
    """The outputs of a body."""
    return emit_structure("Call", body, _entering(body), {}, body.out_avals)


def emit_vjp(
    body: Body, wrt: Sequence[int], outs: Sequence[int], cotangents: Sequence[Any]
) -> list[Tracer]:
    """All outputs of a body, then a cotangent for each position in wrt."""
    return call_vjp(body, _entering(body), wrt, outs, cotangents)


def call_vjp(
    body: Body,
    operands: Sequence[Tracer],
    wrt: Sequence[int],
    outs: Sequence[int],
    cotangents: Sequence[Any],
) -> list[Tracer]:
    """As `emit_vjp`, at other operands than those that the body was traced with."""
    seeds = _seeds(body.out_avals, outs, cotangents, "cotangent")
    avals = (*body.out_avals, *(operands[i].aval for i in wrt))
    attrs: dict[str, AttrValue] = {"wrt": tuple(wrt), "outs": tuple(outs)}
    return emit_structure("Vjp", body, [*operands, *seeds], attrs, avals)


def emit_jvp(
    body: Body, wrt: Sequence[int], outs: Sequence[int], tangents: Sequence[Any]
) -> list[Tracer]:
    """All outputs of a body, then a tangent for each position in outs."""
    operands = _entering(body)
    seeds = _seeds([t.aval for t in operands], wrt, tangents, "tangent")
    avals = (*body.out_avals, *(body.out_avals[i] for i in outs))
    attrs: dict[str, AttrValue] = {"wrt": tuple(wrt), "outs": tuple(outs)}
    return emit_structure("Jvp", body, [*operands, *seeds], attrs, avals)


def emit_structure(
    op: str,
    body: Body,
    operands: Sequence[Tracer],
    attrs: Mapping[str, AttrValue],
    avals: Sequence[Aval],
) -> list[Tracer]:
    """The outputs, given by avals, of a structure row that names a body, on the current tape."""
    tape = tape_now()
    rows = [tape.lift(t) for t in operands]
    found = tape.record_structure(op, rows, {"function": body.index, **attrs}, avals)
    return [Tracer(tape, row) for row in found]


def _entering(body: Body) -> list[Tracer]:
    """The values that the body was traced with; they may lie outside of the current tape."""
    parent = body.tape.parent
    assert parent is not None
    return [Tracer(parent, row) for row in body.rows]


def _seeds(
    avals: Sequence[Aval], positions: Sequence[int], values: Sequence[Any], what: str
) -> list[Tracer]:
    if len(values) != len(positions):
        raise refuse(
            f"{len(values)} {what}s for {len(positions)} values",
            f"give {what}s with the structure of what they belong to",
        )
    seeds = []
    for position, value in zip(positions, values, strict=True):
        aval = avals[position]
        tracer = as_tracer(value, aval.dtype)
        if tracer.shape != aval.dims:
            raise refuse(
                f"a {what} of shape {tracer.shape} for a value of shape {aval.dims}",
                "give equal shapes",
            )
        seeds.append(tracer)
    return seeds
