"""The avals of a row from the avals of its inputs: primitives, library functions, structure."""

from typing import cast

from chainrule.errors import ErrorCode, InvalidGraph, ShapeMismatch, UnknownPrimitive
from chainrule.ir.attrs import Attrs
from chainrule.ir.avals import Aval
from chainrule.ir.graph import Function
from chainrule.ir.names import closest
from chainrule.ir.primitives import PRIMITIVES
from chainrule.ir.signature import Signature

STRUCTURE = ("Call", "Vjp", "Jvp")


def signature_of(op: str, library: dict[str, Signature]) -> Signature:
    """The signature of a primitive or library function: a look-up in a table, nothing else.

    Raises:
        UnknownPrimitive: with the nearest known names.
    """
    found = PRIMITIVES.get(op) or library.get(op)
    if found is None:
        near = closest(op, (*PRIMITIVES, *library))
        raise UnknownPrimitive(
            f"op {op[:64]!r} is unknown",
            code=ErrorCode.UNKNOWN_OP,
            cure=f"did you mean {near}?" if near else "GetInfo lists the known ones",
        )
    return found


def infer(
    signature: Signature,
    avals: tuple[Aval, ...],
    attrs: Attrs,
    functions: tuple[Function, ...],
) -> tuple[Aval, ...]:
    """Output avals of a node that is neither Input nor Item.

    Args:
        signature: of its op.
        avals: of its inputs.
        attrs: complete.
        functions: the functions that it may name.

    Raises:
        ShapeMismatch: inputs that don't fit.
        InvalidGraph: a reference to a function that isn't there (BAD_REF).
    """
    count = len(avals)
    least = 0 if signature.name in STRUCTURE else 1
    if count < least if signature.arity is None else count != signature.arity:
        raise InvalidGraph(
            f"{signature.name} takes {signature.arity or 'at least one'} inputs, not {count}",
            code=ErrorCode.BAD_REF,
        )
    values = dict(attrs)
    if signature.name not in STRUCTURE:
        return signature.infer(avals, values)
    index = cast(int, values["function"])
    if not 0 <= index < len(functions):
        raise InvalidGraph(
            f"{signature.name} names function {index} of {len(functions)}",
            code=ErrorCode.BAD_REF,
            cure="a function may name earlier functions only",
        )
    body = functions[index]
    if signature.name == "Call":
        _same(body, body.in_avals, avals)
        return body.out_avals
    wrt = cast(tuple[int, ...], values["wrt"])
    outs = cast(tuple[int, ...], values["outs"])
    _differentiable(signature.name, "wrt", wrt, body.in_avals)
    _differentiable(signature.name, "outs", outs, body.out_avals)
    in_wrt = tuple(body.in_avals[i] for i in wrt)
    of_outs = tuple(body.out_avals[i] for i in outs)
    seeds, results = (of_outs, in_wrt) if signature.name == "Vjp" else (in_wrt, of_outs)
    _same(body, body.in_avals + seeds, avals)
    return body.out_avals + results


def _same(body: Function, expected: tuple[Aval, ...], given: tuple[Aval, ...]) -> None:
    if len(expected) != len(given):
        raise ShapeMismatch(
            f"{body.name} takes {len(expected)} values here, not {len(given)}",
            code=ErrorCode.SHAPE_MISMATCH,
        )
    for i, (want, have) in enumerate(zip(expected, given, strict=True)):
        if want != have:
            raise ShapeMismatch(
                f"value {i} given to {body.name} is {have}, it takes {want}",
                code=ErrorCode.SHAPE_MISMATCH,
            )


def _differentiable(
    op: str, name: str, positions: tuple[int, ...], avals: tuple[Aval, ...]
) -> None:
    if len(set(positions)) != len(positions):
        raise InvalidGraph(f"{name} of {op} names a position twice", code=ErrorCode.ATTR_RANGE)
    for p in positions:
        if not 0 <= p < len(avals):
            raise InvalidGraph(
                f"{name} of {op} names position {p} of {len(avals)}", code=ErrorCode.ATTR_RANGE
            )
        if not avals[p].dtype.is_float:
            raise InvalidGraph(
                f"{op} with respect to position {p}, which is {avals[p]}",
                code=ErrorCode.NOT_DIFFERENTIABLE,
                cure="derivatives are taken of floating-point values only",
            )
