"""What elementwise ops have in common: a ufunc with its output bound, and one map a partial derivative.

The derivative of y = f(x) at a point is multiplication by f'(x), in both directions. So one function
`v -> f'(x) v` is the vjp (v = ct) and the jvp (v = t) of its input.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule.errors import ErrorCode, Unsupported
from chainrule.ir.expr import Expr, expand
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Bind,
    NoDerivative,
    Op,
    Tangents,
    Thunk,
    per_element,
)

Partial = Callable[..., Expr]

# NumPy's iterator copies operands that don't lie in C order through buffers of this many elements.
BUFFER_ELEMENTS = np.getbufsize()

# Costs in operations an element, from throughput in cache: add 7.6, divide 2, exp 1.7, pow 0.4 G elements/s.
DIVISION = 4
TRANSCENDENTAL = 8
POWER = 20


def elementwise(
    name: str,
    kernel: Callable[..., Any],
    *partials: Partial,
    linear: tuple[tuple[int, ...], ...] = (),
    cost: int = 1,
) -> Op:
    """An op whose output may take over any of its operands' buffers.

    Args:
        name: of the primitive.
        kernel: a ufunc.
        partials: one an input, (v, out, *inputs) -> f_i'(x) v.
        linear: see `Op`.
        cost: operations an element.
    """
    vjp, jvp = rules(partials)
    operands = tuple(range(len(partials)))
    return Op(
        name,
        ufunc(kernel),
        vjp,
        jvp,
        per_element(cost),
        buffers,
        linear=linear,
        inplace=operands,
        batching=lanes.broadcasting(name),
    )


def constant_elementwise(
    name: str,
    kernel: Callable[..., Any],
    reason: str,
    *,
    inplace: tuple[int, ...] = (),
    cost: int = 1,
) -> Op:
    """An elementwise op without derivative."""
    none = NoDerivative(reason)
    return Op(
        name,
        ufunc(kernel),
        none,
        none,
        per_element(cost),
        buffers,
        inplace=inplace,
        batching=lanes.broadcasting(name),
    )


def rules(
    partials: Sequence[Partial],
) -> tuple[Callable[..., tuple[Expr | None, ...]], Callable[..., Expr | None]]:
    """vjp and jvp from the partial derivatives."""

    def vjp(ct: Expr, out: Expr, *inputs: Expr, **attrs: Any) -> tuple[Expr | None, ...]:
        # y = f(x_1, ..., x_n):  x_i_ct = f_i'(x) ct
        return tuple(p(ct, out, *inputs, **attrs) for p in partials)

    def jvp(tangents: Tangents, out: Expr, *inputs: Expr, **attrs: Any) -> Expr | None:
        # y_t = sum over i of f_i'(x) x_i_t
        terms = [
            p(t, out, *inputs, **attrs)
            for t, p in zip(tangents, partials, strict=True)
            if t is not None
        ]
        return total(terms, out)

    return vjp, jvp


def total(terms: Sequence[Expr], out: Expr) -> Expr | None:
    """The sum of tangents at the shape of the output; None where there is none."""
    if not terms:
        return None
    result = terms[0]
    for term in terms[1:]:
        result = result + term
    return expand(result, out.shape)


def ufunc(kernel: Callable[..., Any]) -> Bind:
    """The kernel with everything bound."""

    def bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
        del attrs
        refuse_stored(ins)
        # by keyword: maximum and minimum no longer take the output by position
        return partial(kernel, *ins, out=out)

    return bind


def buffers(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    """The buffers of NumPy's iterator: one for each operand that doesn't lie as the output does."""
    del attrs
    return sum(buffer_bytes(x, out.shape) for x in inputs)


def buffer_bytes(x: Array, shape: tuple[Any, ...]) -> int:
    """The buffer for one operand of an iteration over a shape."""
    if x.size <= 1 or (x.shape == shape and x.flags.c_contiguous):
        return 0
    return min(BUFFER_ELEMENTS, int(np.prod(shape, dtype=object))) * x.itemsize


def refuse_stored(arrays: Arrays) -> None:
    """bfloat16 has no NumPy dtype: its bits, added as integers, would be nonsense.

    Raises:
        Unsupported: an operand is bfloat16.
    """
    if any(x.dtype == np.uint16 for x in arrays):
        raise Unsupported(
            "bfloat16 is for storage, not for arithmetic",
            code=ErrorCode.UNSUPPORTED,
            cure="cast to float32 first",
        )
