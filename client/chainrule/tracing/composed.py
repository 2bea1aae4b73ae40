"""Elementwise functions without a primitive of their own, as compositions of those that have one."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.tracing.elementwise import real, reals, where
from chainrule.tracing.registry import implements_ufunc
from chainrule.tracing.tracer import Tracer

LN2 = math.log(2.0)


def _scaled(name: str, factor: float) -> None:
    def handler(x: Any) -> Any:
        return real(x) * factor

    implements_ufunc(name)(handler)


for _name in ("deg2rad", "radians"):
    _scaled(_name, math.pi / 180)
for _name in ("rad2deg", "degrees"):
    _scaled(_name, 180 / math.pi)


def _unary(*names: str) -> Callable[[Callable[[Tracer], Any]], Callable[[Any], Any]]:
    """Enter a function of a real tracer under the names of ufuncs."""

    def enter(rule: Callable[[Tracer], Any]) -> Callable[[Any], Any]:
        def handler(x: Any) -> Any:
            return rule(real(x))

        return implements_ufunc(*names)(handler)

    return enter


@_unary("exp2")
def exp2(x: Tracer) -> Any:
    """2^x = e^(x ln 2)."""
    return np.exp(x * LN2)


@_unary("log2")
def log2(x: Tracer) -> Any:
    """ln x / ln 2."""
    return np.log(x) / LN2


@_unary("log10")
def log10(x: Tracer) -> Any:
    """ln x / ln 10."""
    return np.log(x) / math.log(10.0)


@_unary("tan")
def tan(x: Tracer) -> Any:
    """sin x / cos x."""
    return np.sin(x) / np.cos(x)


@_unary("arctan", "atan")
def arctan(x: Tracer) -> Any:
    """atan2(x, 1)."""
    return np.arctan2(x, 1.0)


@_unary("arcsin", "asin")
def arcsin(x: Tracer) -> Any:
    """atan2(x, sqrt((1 - x) (1 + x))); the factors lose nothing near 1."""
    return np.arctan2(x, np.sqrt((1 - x) * (1 + x)))


@_unary("arccos", "acos")
def arccos(x: Tracer) -> Any:
    """atan2(sqrt((1 - x) (1 + x)), x)."""
    return np.arctan2(np.sqrt((1 - x) * (1 + x)), x)


@_unary("sinh")
def sinh(x: Tracer) -> Any:
    """(expm1(x) - expm1(-x)) / 2, which loses nothing near 0."""
    return (np.expm1(x) - np.expm1(-x)) * 0.5


@_unary("cosh")
def cosh(x: Tracer) -> Any:
    """(e^x + e^-x) / 2."""
    return (np.exp(x) + np.exp(-x)) * 0.5


@_unary("arctanh", "atanh")
def arctanh(x: Tracer) -> Any:
    """(log(1 + x) - log(1 - x)) / 2."""
    return (np.log1p(x) - np.log1p(-x)) * 0.5


@_unary("arcsinh", "asinh")
def arcsinh(x: Tracer) -> Any:
    """log(x + sqrt(x^2 + 1)) as log1p(x + x^2 / (1 + sqrt(x^2 + 1))) of |x|, odd in x."""

    def positive(t: Any) -> Any:
        return np.log1p(t + t**2 / (1 + np.sqrt(t**2 + 1)))

    return where(x < 0, -positive(-x), positive(x))


@_unary("arccosh", "acosh")
def arccosh(x: Tracer) -> Any:
    """log1p(t + sqrt(2 t + t^2)) with t = x - 1."""
    t = x - 1
    return np.log1p(t + np.sqrt(2 * t + t**2))


@_unary("cbrt")
def cbrt(x: Tracer) -> Any:
    """sign(x) |x|^(1/3)."""
    return np.sign(x) * np.abs(x) ** (1.0 / 3.0)


@_unary("expit")
def expit(x: Tracer) -> Any:
    """scipy.special.expit."""
    return 1 / (1 + np.exp(-x))


@_unary("logit")
def logit(x: Tracer) -> Any:
    """scipy.special.logit."""
    return np.log(x) - np.log1p(-x)


@implements_ufunc("xlogy")
def xlogy(x: Any, y: Any) -> Any:
    """scipy.special.xlogy: x log y, 0 where x is 0."""
    (a, b), _ = reals(x, y)
    safe = where(a == 0, 1.0, b)
    return a * np.log(safe)


@implements_ufunc("hypot")
def hypot(x: Any, y: Any) -> Any:
    """sqrt(x^2 + y^2)."""
    (a, b), _ = reals(x, y)
    return np.sqrt(a**2 + b**2)


@implements_ufunc("logaddexp")
def logaddexp(x: Any, y: Any) -> Any:
    """log(e^x + e^y) = max(x, y) + log1p(e^-|x - y|)."""
    (a, b), _ = reals(x, y)
    # -inf - -inf is NaN; equal operands have distance 0 whatever they are.
    distance = where(a == b, 0.0, a - b)
    return np.maximum(a, b) + np.log1p(np.exp(-np.abs(distance)))


@implements_ufunc("logaddexp2")
def logaddexp2(x: Any, y: Any) -> Any:
    """log2(2^x + 2^y)."""
    (a, b), _ = reals(x, y)
    return logaddexp(a * LN2, b * LN2) / LN2


@implements_ufunc("fmax")
def fmax(x: Any, y: Any) -> Any:
    """The larger; the other one where one is NaN."""
    (a, b), _ = reals(x, y)
    return where(np.isnan(a), b, where(np.isnan(b), a, np.maximum(a, b)))


@implements_ufunc("fmin")
def fmin(x: Any, y: Any) -> Any:
    """The smaller; the other one where one is NaN."""
    (a, b), _ = reals(x, y)
    return where(np.isnan(a), b, where(np.isnan(b), a, np.minimum(a, b)))


@implements_ufunc("copysign")
def copysign(x: Any, y: Any) -> Any:
    """|x| with the sign of y; the sign of a negative zero is not seen."""
    (a, b), _ = reals(x, y)
    return where(b < 0, -np.abs(a), np.abs(a))


@implements_ufunc("heaviside")
def heaviside(x: Any, y: Any) -> Any:
    """0 below 0, y at 0, 1 above."""
    (a, b), _ = reals(x, y)
    return where(a < 0, 0.0, where(a > 0, 1.0, b))


@implements_ufunc("fmod")
def fmod(x: Any, y: Any) -> Any:
    """The remainder with the sign of x."""
    (a, b), _ = reals(x, y)
    return a - b * np.trunc(a / b)
