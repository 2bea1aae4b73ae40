"""One function for one batch size: every k*N becomes a number.

After this a function has plain shapes, which is what a plan is made from. DimSize and the offset of an Iota
along the batch are inputs by then (split.py), since they belong to the whole batch.
"""

from math import prod

from chainrule.errors import ErrorCode, LimitExceeded
from chainrule.ir.attrs import Attrs
from chainrule.ir.avals import MAX_ELEMENTS, Aval, BatchDim, shape_at
from chainrule.ir.graph import Function


def specialise_all(functions: tuple[Function, ...], n: int) -> tuple[Function, ...]:
    """Bodies for n rows."""
    return tuple(specialise(f, n) for f in functions)


def specialise(function: Function, n: int) -> Function:
    """The function for n rows.

    Raises:
        LimitExceeded: a value that no array can hold (COST_BYTES).
    """
    return Function(
        function.name,
        function.ops,
        function.inputs,
        tuple(_attrs(row, n) for row in function.attrs),
        tuple(_concrete(aval, n) for aval in function.avals),
        function.outputs,
        function.output_names,
    )


def _concrete(aval: Aval, n: int) -> Aval:
    made = aval.concrete(n)
    if prod([dim or 1 for dim in made.dims]) >= MAX_ELEMENTS:
        raise LimitExceeded(
            f"{aval} has 2^60 elements or more{f' for a batch of {n}' if aval.is_batched else ''}",
            code=ErrorCode.COST_BYTES,
            cure="send a smaller batch, or take fewer steps of a loop",
            value=n,
        )
    return made


def _attrs(attrs: Attrs, n: int) -> Attrs:
    if not any(type(v) is tuple and any(type(d) is BatchDim for d in v) for _, v in attrs):
        return attrs
    return tuple((k, shape_at(v, n) if isinstance(v, tuple) else v) for k, v in attrs)
