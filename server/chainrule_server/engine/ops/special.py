"""Special functions, by SciPy's ufuncs: scalar loops, which use no BLAS and give the same bits everywhere."""

from functools import partial
from math import factorial, pi, sqrt
from typing import cast

import numpy as np
from scipy import special

from chainrule.ir.expr import Expr, exp, polygamma
from chainrule_server.engine.ops import lanes
from chainrule_server.engine.ops.elementwise import (
    POWER,
    buffer_bytes,
    elementwise,
    refuse_stored,
    rules,
)
from chainrule_server.engine.ops.table import Array, Arrays, AttrMap, Op, Thunk, per_element


def _bind_polygamma(ins: Arrays, out: Array, attrs: AttrMap) -> Thunk:
    refuse_stored(ins)
    (x,), n = ins, cast(int, attrs["n"])
    if n == 0:
        return partial(special.psi, x, out=out)
    # psi_n(x) = (-1)^(n+1) n! zeta(n + 1, x), with Hurwitz's zeta
    scale = (-1.0) ** (n + 1) * factorial(n)
    order = out.dtype.type(n + 1)

    def run() -> None:
        special.zeta(order, x, out=out)
        np.multiply(out, scale, out=out)

    return run


def _polygamma(v: Expr, out: Expr, x: Expr, *, n: int) -> Expr:
    # y = psi_n(x):  x_ct = ct psi_(n+1)(x). Orders end at 150, where n! nears the largest float64.
    del out
    return v * polygamma(n + 1, x)


def _buffers(inputs: Arrays, out: Array, attrs: AttrMap) -> int:
    del attrs
    return 2 * buffer_bytes(inputs[0], out.shape)


_VJP, _JVP = rules((_polygamma,))

SPECIAL = (
    # y = erf x = 2 / sqrt(pi) int_0^x e^(-t^2) dt:  x_ct = ct 2 / sqrt(pi) e^(-x^2)
    elementwise(
        "Erf",
        special.erf,
        lambda v, out, x: v * (2 / sqrt(pi) * exp(-(x * x))),
        cost=POWER,
    ),
    # erf y = x:  x_ct = ct sqrt(pi) / 2 e^(y^2), which is inf at -1 and 1
    elementwise(
        "ErfInv",
        special.erfinv,
        lambda v, out, x: v * (sqrt(pi) / 2 * exp(out * out)),
        cost=POWER,
    ),
    # y = log |Gamma(x)|:  x_ct = ct psi_0(x)
    elementwise(
        "Lgamma",
        special.gammaln,
        lambda v, out, x: v * polygamma(0, x),
        cost=POWER,
    ),
    Op(
        "Polygamma",
        _bind_polygamma,
        _VJP,
        _JVP,
        per_element(2 * POWER),
        _buffers,
        inplace=(0,),
        batching=lanes.leading("Polygamma"),
    ),
)
