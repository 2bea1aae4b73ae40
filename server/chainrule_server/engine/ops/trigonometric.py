"""Circular and hyperbolic functions."""

import numpy as np

from chainrule.ir.expr import Expr, cos, equal, sin, where
from chainrule_server.engine.ops.elementwise import POWER, TRANSCENDENTAL, elementwise


def _over_square(z: Expr, y: Expr, x: Expr) -> Expr:
    """z / (x^2 + y^2), and 0 at (0, 0), also when differentiated in turn."""
    square = x * x + y * y
    zero = equal(square, square.like(0))
    return where(zero, z.like(0), z / where(zero, z.like(1), square))


TRIGONOMETRIC = (
    # y = sin x:  x_ct = ct cos x
    elementwise("Sin", np.sin, lambda v, out, x: v * cos(x), cost=TRANSCENDENTAL),
    # y = cos x:  x_ct = -ct sin x
    elementwise("Cos", np.cos, lambda v, out, x: -(v * sin(x)), cost=TRANSCENDENTAL),
    # y = tanh x:  x_ct = ct (1 - y^2)
    elementwise("Tanh", np.tanh, lambda v, out, x: v * (1.0 - out * out), cost=TRANSCENDENTAL),
    # a = atan2(y, x), d = x^2 + y^2:  y_ct = ct x / d,  x_ct = -ct y / d, and 0 at (0, 0)
    elementwise(
        "Atan2",
        np.arctan2,
        lambda v, out, y, x: v * _over_square(x, y, x),
        lambda v, out, y, x: -(v * _over_square(y, y, x)),
        cost=POWER,
    ),
)
