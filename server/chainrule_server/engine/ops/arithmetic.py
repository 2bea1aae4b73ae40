"""Sums, products, quotients, and the piecewise linear ops around them."""

from functools import partial

import numpy as np

from chainrule.errors import ErrorCode, NumericError
from chainrule.ir.expr import Expr, equal, less, sign, where
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import (
    DIVISION,
    buffers,
    constant_elementwise,
    elementwise,
)
from chainrule_server.engine.ops.table import (
    Array,
    Arrays,
    AttrMap,
    Bind,
    NoDerivative,
    Op,
    Thunk,
    per_element,
)


def _unless(loses: Expr, v: Expr, x: Expr, y: Expr) -> Expr:
    """v for the winner of x and y, half of it in a tie (a node that both sides share), else 0."""
    return where(loses, v.like(0), where(equal(x, y), v * 0.5, v))


def _checked(kernel: np.ufunc) -> Bind:
    """An integer division that refuses a divisor of 0, where NumPy would answer 0."""

    def bind(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
        del attrs
        divisor = ins[1]
        divide = partial(kernel, *ins, out)

        def run() -> None:
            if np.count_nonzero(divisor) != divisor.size:
                raise NumericError(
                    "an integer is divided by 0",
                    code=ErrorCode.NUMERIC_FAILURE,
                    cure="guard the divisor with np.where",
                )
            divide()

        return run

    return bind


def _integer(name: str, kernel: np.ufunc) -> Op:
    none = NoDerivative("integers have no derivative")
    bind = _checked(kernel)
    return Op(
        name,
        bind,
        none,
        none,
        per_element(DIVISION),
        buffers,
        inplace=(0, 1),
        batching=lanes.broadcasting(name),
    )


ARITHMETIC = (
    # y = -x:  x_ct = -ct
    elementwise("Neg", np.negative, lambda v, out, x: -v, linear=((0,),)),
    # y = |x|:  x_ct = ct sign(x), which is 0 at 0
    elementwise("Abs", np.absolute, lambda v, out, x: v * sign(x)),
    # y = sign(x):  y' = 0 wherever it exists, and 0 at 0
    constant_elementwise(
        "Sign", np.sign, "it is piecewise constant: the derivative is 0", inplace=(0,), cost=2
    ),
    # y = a + b:  a_ct = b_ct = ct
    elementwise("Add", np.add, lambda v, out, a, b: v, lambda v, out, a, b: v, linear=((0, 1),)),
    # y = a - b:  a_ct = ct, b_ct = -ct
    elementwise(
        "Sub", np.subtract, lambda v, out, a, b: v, lambda v, out, a, b: -v, linear=((0, 1),)
    ),
    # y = a b:  a_ct = ct b, b_ct = ct a
    elementwise(
        "Mul",
        np.multiply,
        lambda v, out, a, b: v * b,
        lambda v, out, a, b: v * a,
        linear=((0,), (1,)),
    ),
    # y = a / b:  a_ct = ct / b, b_ct = -(ct / b) y
    elementwise(
        "Div",
        np.divide,
        lambda v, out, a, b: v / b,
        lambda v, out, a, b: -(v / b * out),
        linear=((0,),),
        cost=DIVISION,
    ),
    # y = max(a, b):  a_ct = ct where a > b, ct / 2 where a = b, 0 where a < b; b_ct likewise
    elementwise(
        "Max",
        np.maximum,
        lambda v, out, a, b: _unless(less(a, b), v, a, b),
        lambda v, out, a, b: _unless(less(b, a), v, a, b),
        cost=2,
    ),
    # y = min(a, b):  a_ct = ct where a < b, ct / 2 where a = b, 0 where a > b; b_ct likewise
    elementwise(
        "Min",
        np.minimum,
        lambda v, out, a, b: _unless(less(b, a), v, a, b),
        lambda v, out, a, b: _unless(less(a, b), v, a, b),
        cost=2,
    ),
    # y = floor(x):  y' = 0 between integers, where it exists
    constant_elementwise(
        "Floor", np.floor, "it is piecewise constant: the derivative is 0", inplace=(0,)
    ),
    # y = the nearest integer, the even one in a tie:  y' = 0 between them, where it exists
    constant_elementwise(
        "Round", np.rint, "it is piecewise constant: the derivative is 0", inplace=(0,)
    ),
    # rounding towards -inf, and the remainder with the divisor's sign, as NumPy
    _integer("IntDiv", np.floor_divide),
    _integer("Mod", np.remainder),
)
