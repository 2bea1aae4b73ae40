"""Library functions against SciPy, also where exponentials overflow, and their derivatives against mpmath."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval
from chainrule.ir.builder import Builder
from chainrule.ir.expr import apply
from chainrule.ir.functions import FUNCTIONS
from chainrule.ir.graph import Debug, Function
from chainrule_server.engine.autodiff import jvp, vjp
from chainrule_server.engine.flat import Flat
from support import naive
from support.written import Array, f4, f8, function, i8

X = np.array([-np.inf, -1000.0, -709.0, -40.0, -3.0, -0.5, -0.0, 0.0, 1e-9, 0.5, 3.0, 36.9, 37.1])
HIGH = np.array([40.0, 709.0, 1000.0, np.inf])


def expanded(op: str, *avals: Aval, **attrs: Any) -> Function:
    """The library function written out in primitives."""
    b = Builder()
    rows = tuple(b.input(f"x{i}", aval) for i, aval in enumerate(avals))
    full = {spec.name: attrs.get(spec.name, spec.default) for spec in FUNCTIONS[op].signature.attrs}
    return b.finish(FUNCTIONS[op].expand(b, rows, full), ["out"])


def value(f: Function, *arrays: Array) -> Array:
    return naive.rows(f, arrays)[f.outputs[-1]]


SCALAR: dict[str, tuple[Callable[[Array], Array], Callable[[Any], Any]]] = {
    "Relu": (lambda x: np.maximum(x, 0.0), lambda x: max(x, 0)),
    "Sigmoid": (scipy.special.expit, lambda x: 1 / (1 + mpmath.exp(-x))),
    "Softplus": (lambda x: np.logaddexp(x, 0.0), lambda x: mpmath.log1p(mpmath.exp(x))),
}


@pytest.mark.parametrize("op", SCALAR)
def test_values(op: str) -> None:
    x = np.concatenate([X, HIGH])
    got = value(expanded(op, f8(len(x))), x)
    np.testing.assert_allclose(got, SCALAR[op][0](x), rtol=4e-16, atol=1e-300)
    x4 = x.astype(np.float32)
    got4 = value(expanded(op, f4(len(x))), x4)
    assert got4.dtype == np.float32
    np.testing.assert_allclose(got4, SCALAR[op][0](x4), rtol=1e-6, atol=1e-34)


@pytest.mark.parametrize("op", SCALAR)
def test_nan_stays_nan(op: str) -> None:
    assert np.isnan(value(expanded(op, f8(1)), np.array([np.nan])))


def derivative(f: Function, order: int, x: Array) -> Array:
    """Elementwise, reverse and forward in turn."""
    flat = Flat(f, Debug())
    ones = []
    for k in range(order):
        flat = (vjp, jvp)[k % 2](flat, (0,), (len(flat.function.outputs) - 1,))
        ones.append(np.ones_like(x))
    return value(flat.function, x, *ones)


@pytest.mark.parametrize("op", ["Sigmoid", "Softplus"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_derivatives_are_smooth_through_zero_and_into_the_tails(op: str, order: int) -> None:
    x = np.array([-30.0, -3.0, -0.5, 0.0, 1e-9, 0.5, 3.0, 30.0])
    got = derivative(expanded(op, f8(len(x))), order, x)
    with mpmath.workdps(60):
        want = [float(mpmath.diff(SCALAR[op][1], mpmath.mpf(float(v)), order)) for v in x]
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("op", SCALAR)
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_are_finite_where_exponentials_overflow(op: str, order: int) -> None:
    far = np.array([-1e4, -800.0, -709.0, -100.0, 100.0, 709.0, 800.0, 1e4])
    for aval, x in ((f8(8), far), (f4(8), far.astype(np.float32))):
        got = derivative(expanded(op, aval), order, x)
        high = 1.0 if op != "Sigmoid" and order == 1 else 0.0
        np.testing.assert_allclose(got, np.where(x < 0, 0.0, high), atol=1e-30)


def test_relu_has_derivative_zero_at_zero() -> None:
    x = np.array([-1.0, -0.0, 0.0, 1.0])
    np.testing.assert_array_equal(derivative(expanded("Relu", f8(4)), 1, x), [0, 0, 0, 1])


Z = np.array([[1.0, 2.0, -1.0], [1e4, 0.0, -1e4], [-1e308, 1e308, 0.0]])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(
    ("op", "oracle"),
    [("Softmax", scipy.special.softmax), ("LogSoftmax", scipy.special.log_softmax)],
)
def test_softmax_along_an_axis(op: str, oracle: Callable[..., Array], axis: int) -> None:
    got = value(expanded(op, f8(3, 3), axis=axis), Z)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(got, oracle(Z, axis=axis), rtol=1e-15, atol=1e-300)


def test_softmax_ends_in_the_last_axis_by_default() -> None:
    got = value(expanded("Softmax", f8(3, 3)), Z[:2].repeat(2, 0)[:3])
    np.testing.assert_allclose(got.sum(-1), np.ones(3), rtol=1e-15)


def test_the_softmax_of_large_logits_has_a_finite_gradient() -> None:
    f = expanded("SoftmaxCrossEntropy", f8(2, 3), i8(2))
    logits, labels = np.array([[1e4, 0.0, -1e4], [0.1, 0.2, 0.3]]), np.array([2, 0])
    want = -scipy.special.log_softmax(logits, axis=1)[[0, 1], labels]
    np.testing.assert_allclose(value(f, logits, labels), want, rtol=1e-14)
    flat = vjp(Flat(f, Debug()), (0,), (0,))
    got = value(flat.function, logits, labels, np.ones(2))
    np.testing.assert_allclose(
        got, scipy.special.softmax(logits, axis=1) - np.eye(3)[labels], atol=1e-15
    )


@pytest.mark.parametrize(
    ("op", "avals", "attrs", "code"),
    [
        ("Relu", (i8(2),), {}, ErrorCode.DTYPE_MISMATCH),
        ("Softmax", (f8(2),), {"axis": 1}, ErrorCode.BAD_AXIS),
        ("Softmax", (f8(),), {}, ErrorCode.BAD_AXIS),
        ("LogSoftmax", (f8(2, 0),), {}, ErrorCode.EMPTY_REDUCTION),
        ("SoftmaxCrossEntropy", (f8(2, 3), f8(2)), {}, ErrorCode.SHAPE_MISMATCH),
        ("SoftmaxCrossEntropy", (f8(2, 3), i8(3)), {}, ErrorCode.SHAPE_MISMATCH),
        ("SoftmaxCrossEntropy", (f8(), i8()), {}, ErrorCode.SHAPE_MISMATCH),
        ("SoftmaxCrossEntropy", (f8(2, 0), i8(2)), {}, ErrorCode.EMPTY_REDUCTION),
    ],
)
def test_refusals(op: str, avals: tuple[Aval, ...], attrs: dict[str, Any], code: ErrorCode) -> None:
    with pytest.raises(ChainruleError) as caught:
        function({f"x{i}": a for i, a in enumerate(avals)}, lambda *xs: apply(op, *xs, **attrs))
    assert caught.value.code is code


@pytest.mark.parametrize("op", FUNCTIONS)
def test_the_expansion_has_the_declared_aval(op: str) -> None:
    avals = (f8(4, 3), i8(4)) if FUNCTIONS[op].signature.arity == 2 else (f8(4, 3),)
    named = function({f"x{i}": a for i, a in enumerate(avals)}, lambda *xs: apply(op, *xs))
    assert expanded(op, *avals).out_avals == named.out_avals
    assert FUNCTIONS[op].version >= 1
