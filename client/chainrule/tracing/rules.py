"""Derivatives by other means than the rules of the primitives: `checkpoint` and `custom_vjp`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.ir.avals import Aval
from chainrule.tracing.bodies import Body, Slot, call_body, emit_structure, share_closures
from chainrule.tracing.leaves import leaves_of, rebuild
from chainrule.tracing.operands import as_tracer, inside, tape_now
from chainrule.tracing.refusals import refuse
from chainrule.tracing.tape import Tape, recording
from chainrule.tracing.tracer import Tracer


def checkpoint(f: Callable[..., Any]) -> Callable[..., Any]:
    """f, whose inside is not kept for the derivative but computed again: memory for time.

    The bits of value and gradient stay the same.
    """

    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        inside("checkpoint")
        body = call_body(f, args, kwargs)
        operands = [Tracer(tape_now(), row) for row in body.rows]
        found = emit_structure("Checkpoint", body, operands, {}, body.out_avals)
        return rebuild(body.result, found)

    checkpointed.__name__ = getattr(f, "__name__", "checkpointed")
    return checkpointed


def custom_vjp(
    f: Callable[..., Any] | None = None, rule: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """f with a derivative of its own: `rule(*args, ct)` gives the cotangents of the arguments.

        @cr.custom_vjp(rule=lambda x, ct: np.clip(ct, -1, 1))
        def clipped(x): return x

    The rule is traced as f is, so it has derivatives too. It has to be linear in ct: forwards its transpose
    is taken.

    Args:
        f: any function of its arguments; what is differentiated has to be one of them.
        rule: takes f's arguments and a cotangent with the structure of its result (None in place of
            integers); gives a tuple with one entry an argument, None for no derivative. For one argument
            the entry itself will do.

    Raises:
        TraceError: f closes over a traced value, which would get no derivative, or the rule gives
            something of another structure or shape.
    """
    if rule is None:
        raise refuse("cr.custom_vjp without a rule", "give rule=: from (*args, ct) to cotangents")
    if f is None:
        return lambda g: custom_vjp(g, rule)

    def with_rule(*args: Any) -> Any:
        inside("custom_vjp")
        body = call_body(f, args, {})
        _refuse_closures(body)
        ct = rebuild(body.result, [Slot(a) if a.dtype.is_float else None for a in body.out_avals])
        way_back = call_body(_checked(f, rule, body, args), (*args, ct), {})
        operands = [Tracer(tape_now(), row) for row in body.given if row is not None]
        return emit_custom(body, way_back, operands)

    with_rule.__name__ = getattr(f, "__name__", "with_rule")
    return with_rule


def emit_custom(body: Body, way_back: Body, operands: Sequence[Tracer]) -> Any:
    """The result of a body with a rule: closures of both enter between arguments and cotangents."""
    closures = share_closures(body, way_back, after=len(body.given))
    zeros = [t.aval for t in closures if t.aval.dtype.is_float]
    with recording(way_back.tape):
        rows = [_zero(a).row for a in zeros]
    tape = way_back.tape
    tape.outputs = (*tape.outputs, *rows)
    tape.output_names = (*tape.output_names, *(f"closure/{i}" for i in range(len(rows))))
    found = emit_structure(
        "CustomVjp",
        body,
        [*operands, *closures],
        {"otherwise": way_back.index},
        body.out_avals,
    )
    return rebuild(body.result, found)


def _zero(aval: Aval) -> Tracer:
    zero = as_tracer(0.0, aval.dtype)
    return as_tracer(np.broadcast_to(zero, aval.dims)) if aval.rank else zero


def _checked(
    f: Callable[..., Any], rule: Callable[..., Any], body: Body, args: Sequence[Any]
) -> Callable[..., Any]:
    """The rule, giving one cotangent a floating-point leaf of the arguments."""
    name = getattr(f, "__name__", "f")

    def way_back(*given: Any) -> list[Tracer]:
        sent = rule(*given)
        if len(args) == 1 and not (isinstance(sent, tuple) and len(sent) == 1):
            sent = (sent,)
        if not isinstance(sent, tuple) or len(sent) != len(args):
            raise refuse(
                f"the rule of {name} gives {len(sent) if isinstance(sent, tuple) else 'one value'} "
                f"for {len(args)} arguments",
                "return a tuple with one cotangent an argument, None for no derivative",
            )
        found: list[Tracer] = []
        for k, (arg, x_ct) in enumerate(zip(args, sent, strict=True)):
            named = leaves_of(arg, f"args/{k}")
            places = body.arg_leaves[k]
            kept = [
                (leaf_name, body.in_aval(i))
                for (leaf_name, _), i in zip(named, places, strict=True)
                if i is not None
            ]
            found += _cotangents(name, kept, x_ct, f"args/{k}")
        return found

    way_back.__name__ = f"{name}_rule"
    return way_back


def _cotangents(
    name: str, wanted: Sequence[tuple[str, Aval]], x_ct: Any, prefix: str
) -> list[Tracer]:
    floats = [(leaf, aval) for leaf, aval in wanted if aval.dtype.is_float]
    if x_ct is None:
        return [_zero(aval) for _, aval in floats]
    given = dict(leaves_of(x_ct, prefix))
    if not {leaf for leaf, _ in floats} <= set(given) <= {leaf for leaf, _ in wanted}:
        raise refuse(
            f"the rule of {name} gives {sorted(given)} for {[leaf for leaf, _ in floats]}",
            "give a cotangent the structure of its argument",
        )
    found = []
    for leaf, aval in floats:
        ct = as_tracer(given[leaf], aval.dtype)
        if ct.aval.shape != aval.shape:
            raise refuse(
                f"the rule of {name} gives {ct.aval} for {leaf}, which is {aval}",
                "give a cotangent the shape of its argument",
            )
        found.append(ct)
    return found


def _refuse_closures(body: Body) -> None:
    parent = body.tape.parent
    assert parent is not None
    for row in body.closures:
        if parent.rows[row].aval.dtype.is_float and not _is_constant(parent, row):
            raise refuse(
                f"{body.tape.name} closes over a traced value ({parent.rows[row].aval}), which its "
                "rule can't send a cotangent to",
                "make it an argument of the function, or cr.stop_gradient it and pass it",
            )


def _is_constant(tape: Tape, row: int) -> bool:
    """Whether a row is a captured array, through however many functions it came in."""
    while tape.rows[row].op == "Input" and tape.parent is not None:
        outer = tape.outer(row)
        if outer is None:
            return False
        tape, row = tape.parent, outer
    return tape.rows[row].op == "Constant"
