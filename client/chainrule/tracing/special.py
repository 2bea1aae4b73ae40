"""scipy.special's ufuncs that models use: entered by name, so SciPy need not be there."""

import math
from typing import Any

import numpy as np

from chainrule.tracing.elementwise import real, reals, where
from chainrule.tracing.operands import emit, weakly
from chainrule.tracing.registry import implements_ufunc
from chainrule.tracing.tracer import Tracer


def _unary(op: str, x: Any, **attrs: int) -> Any:
    value = real(x)
    return weakly(emit(op, value, **attrs), value.weak)


@implements_ufunc("erf")
def erf(x: Any) -> Any:
    """2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    return _unary("Erf", x)


@implements_ufunc("erfinv")
def erfinv(x: Any) -> Any:
    """The inverse of erf on (-1, 1)."""
    return _unary("ErfInv", x)


@implements_ufunc("gammaln")
def gammaln(x: Any) -> Any:
    """log |Gamma(x)|."""
    return _unary("Lgamma", x)


@implements_ufunc("psi", "digamma")
def digamma(x: Any) -> Any:
    """The derivative of gammaln."""
    return _unary("Polygamma", x, n=0)


@implements_ufunc("betaln")
def betaln(a: Any, b: Any) -> Any:
    """gammaln(a) + gammaln(b) - gammaln(a + b)."""
    return gammaln(a) + gammaln(b) - gammaln(a + b)


@implements_ufunc("ndtri")
def ndtri(p: Any) -> Any:
    """The normal quantile sqrt(2) erfinv(2 p - 1)."""
    return math.sqrt(2.0) * erfinv(2 * real(p) - 1)


@implements_ufunc("log_expit")
def log_expit(x: Any) -> Any:
    """log(expit(x)) = min(x, 0) - log1p(e^-|x|)."""
    value: Any = real(x)
    return np.minimum(value, 0) - np.log1p(np.exp(-np.abs(value)))


@implements_ufunc("xlog1py")
def xlog1py(x: Any, y: Any) -> Any:
    """x log1p(y), 0 where x is 0."""
    (a, b), _ = reals(x, y)
    zero = a == 0
    return where(zero, 0.0, a * np.log1p(where(zero, 0.0, b)))


@implements_ufunc("entr")
def entr(x: Any) -> Any:
    """-x log(x), 0 at 0, -inf below."""
    value: Any = real(x)
    inside = value > 0
    safe: Tracer = where(inside, value, 1.0)
    return where(inside, -safe * np.log(safe), where(value == 0, 0.0, -np.inf))
