"""Activations and softmax: library functions of the graph where traced, NumPy where not."""

import math
from typing import Any

import numpy as np

from chainrule.tracing.elementwise import real
from chainrule.tracing.operands import emit, is_tracing, weakly
from chainrule.tracing.special import erf

SQRT_2_OVER_PI = float(np.sqrt(2.0 / np.pi))


def _library(op: str, x: Any, **attrs: int) -> Any:
    value = real(x)
    return weakly(emit(op, value, **attrs), value.weak)


def sigmoid(x: Any) -> Any:
    """1 / (1 + e^-x)."""
    if is_tracing(x):
        return _library("Sigmoid", x)
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))


def relu(x: Any) -> Any:
    """x where x > 0, else 0; the derivative at 0 is 0."""
    return _library("Relu", x) if is_tracing(x) else np.where(x > 0, x, 0 * x)


def softplus(x: Any) -> Any:
    """log(1 + e^x), as max(x, 0) + log1p(e^-|x|)."""
    if is_tracing(x):
        return _library("Softplus", x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def softmax(x: Any, axis: int = -1) -> Any:
    """e^x / sum(e^x) along an axis."""
    if is_tracing(x):
        return _library("Softmax", x, axis=axis)
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - log(sum(e^x)) along an axis."""
    if is_tracing(x):
        return _library("LogSoftmax", x, axis=axis)
    z = x - np.max(x, axis=axis, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))


def tanh(x: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(x)


def silu(x: Any) -> Any:
    """x sigmoid(x). Source: Elfwing, Uchibe, Doya 2017, arXiv:1702.03118."""
    return x * sigmoid(x)


def gelu(x: Any, approximate: bool = True) -> Any:
    """x Phi(x): x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), or x/2 (1 + erf(x / sqrt(2))) exactly.

    Source: Hendrycks, Gimpel 2016, arXiv:1606.08415, section 2.

    Args:
        x: any array.
        approximate: whether by the tanh form.
    """
    if not approximate:
        z = x * math.sqrt(0.5)
        return 0.5 * x * (1 + (erf(z) if is_tracing(z) else np.vectorize(math.erf)(z)))
    return 0.5 * x * (1 + np.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x**3)))


def leaky_relu(x: Any, slope: float = 0.01) -> Any:
    """x where x > 0, else slope * x."""
    return np.where(x > 0, x, slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where x > 0, else alpha (e^x - 1). Source: Clevert et al. 2015, arXiv:1511.07289."""
    # The branch that isn't taken must not overflow: inf * 0 would make its cotangent NaN.
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(e^x)) over axes, without overflow."""
    top = np.max(x, axis=axis, keepdims=True)
    # The shift carries no derivative of its own: softmax comes out of the sum.
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis=axis)
