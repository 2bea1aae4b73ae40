"""Rows of the op table for special functions; the values are SciPy's, the derivatives mpmath's."""

from collections.abc import Callable
from math import pi, sqrt
from typing import Any

import mpmath
import numpy as np
from scipy import special

from support.op_row import ONE, Draw, Point, Row, Sample

_ERF1 = 2 / sqrt(pi)
_GAMMA = 0.57721566490153286


def _unary(
    op: str,
    value: Callable[..., Any],
    exact: Callable[..., Any],
    draw: Draw,
    *points: Point,
    tolerance: float = 1e-12,
) -> Row:
    samples = tuple(Sample(shapes) for shapes, _ in ONE)
    return Row(op, value, samples, (draw,), "mpmath", exact, points, tolerance=tolerance)


def _at(x: float, first: float, second: float) -> Point:
    return Point((x,), (first,), ((second,),))


SPECIAL_ROWS = (
    _unary("Erf", special.erf, mpmath.erf, Draw(), _at(0.0, _ERF1, 0.0), _at(30.0, 0.0, 0.0)),
    _unary(
        "ErfInv",
        special.erfinv,
        mpmath.erfinv,
        Draw(low=-0.9, high=0.9),
        _at(0.0, 1 / _ERF1, 0.0),
        _at(1.0, np.inf, np.inf),
    ),
    _unary(
        "Lgamma",
        special.gammaln,
        lambda x: mpmath.log(abs(mpmath.gamma(x))),
        Draw(low=0.2, high=4.0),
        _at(1.0, -_GAMMA, pi**2 / 6),
        _at(2.0, 1 - _GAMMA, pi**2 / 6 - 1),
    ),
    Row(
        "Polygamma",
        lambda x, n: special.polygamma(n, x).astype(x.dtype),
        (
            *(Sample(shapes, {"n": 0}) for shapes, _ in ONE),
            *(Sample(((2, 3),), {"n": n}) for n in (1, 2, 5)),
        ),
        (Draw(low=0.4, high=3.0),),
        "mpmath",
        lambda x, n: mpmath.polygamma(n, x),
        (Point((1.0,), (pi**2 / 6,), ((-2 * 1.2020569031595942,),), {"n": 0}),),
        tolerance=1e-12,
    ),
)
