"""Exponentials, logarithms and roots."""

import numpy as np

from chainrule.ir.expr import exp
from chainrule_server.engine.ops.elementwise import DIVISION, TRANSCENDENTAL, elementwise

EXPONENTIAL = (
    # y = e^x:  x_ct = ct y
    elementwise("Exp", np.exp, lambda v, out, x: v * out, cost=TRANSCENDENTAL),
    # y = e^x - 1:  x_ct = ct e^x; y + 1 would lose every digit for x far below 0
    elementwise("Expm1", np.expm1, lambda v, out, x: v * exp(x), cost=TRANSCENDENTAL),
    # y = log x:  x_ct = ct / x
    elementwise("Log", np.log, lambda v, out, x: v / x, cost=TRANSCENDENTAL),
    # y = log(1 + x):  x_ct = ct / (1 + x)
    elementwise("Log1p", np.log1p, lambda v, out, x: v / (1.0 + x), cost=TRANSCENDENTAL),
    # y = sqrt x:  x_ct = ct / (2 y), which is inf at 0
    elementwise("Sqrt", np.sqrt, lambda v, out, x: v / (2.0 * out), cost=DIVISION),
)
