"""The avals of a row from the avals of its inputs: primitives, library functions, structure."""

from chainrule.errors import ErrorCode, InvalidGraph, UnknownPrimitive
from chainrule.ir.attrs import Attrs
from chainrule.ir.avals import Aval
from chainrule.ir.graph import Function
from chainrule.ir.names import closest
from chainrule.ir.primitives import PRIMITIVES
from chainrule.ir.signature import Signature
from chainrule.ir.structure import STRUCTURE, infer_structure


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
    if signature.name in STRUCTURE:
        return infer_structure(signature.name, avals, values, functions)
    return signature.infer(avals, values)
