"""Circular and hyperbolic functions."""

import numpy as np

from chainrule.ir.expr import cos, sin
from chainrule_server.engine.ops.elementwise import TRANSCENDENTAL, elementwise

TRIGONOMETRIC = (
    # y = sin x:  x_ct = ct cos x
    elementwise("Sin", np.sin, lambda v, out, x: v * cos(x), cost=TRANSCENDENTAL),
    # y = cos x:  x_ct = -ct sin x
    elementwise("Cos", np.cos, lambda v, out, x: -(v * sin(x)), cost=TRANSCENDENTAL),
    # y = tanh x:  x_ct = ct (1 - y^2)
    elementwise("Tanh", np.tanh, lambda v, out, x: v * (1.0 - out * out), cost=TRANSCENDENTAL),
    # a = atan2(y, x):  y_ct = ct x / (x^2 + y^2),  x_ct = -ct y / (x^2 + y^2)
    elementwise(
        "Atan2",
        np.arctan2,
        lambda v, out, y, x: v * (x / (x * x + y * y)),
        lambda v, out, y, x: -(v * (y / (x * x + y * y))),
        cost=TRANSCENDENTAL,
    ),
)
