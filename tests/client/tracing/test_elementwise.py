"""Elementwise functions traced equal NumPy's, for floats, integers, bools and mixtures."""

from typing import Any

import numpy as np
import pytest
import scipy.special

from chainrule.tracing import trace
from support.evaluator import run
from support.traced import Row, assert_same, numbers, refusal, rows

X = numbers(3, 4)
Y = numbers(4, seed="y")
POSITIVE = np.abs(X) + 0.1
F4 = X.astype(np.float32)
I = np.array([[3, -4, 0], [7, 2, -1]])  # noqa: E741 - an integer array
J = np.array([2, 3, -5])
B = np.array([[True, False, True], [False, False, True]])


UNARY = """negative positive absolute fabs sign exp expm1 sin cos tanh square reciprocal
    floor ceil trunc rint fix isfinite isnan isinf logical_not"""
UNARY_OF_INTEGERS = """negative absolute sign exp sin tanh square logical_not isfinite
    invert"""
BINARY = """add subtract multiply divide maximum minimum less less_equal greater
    greater_equal equal not_equal floor_divide remainder mod logical_and logical_or logical_xor"""
BINARY_OF_INTEGERS = """add subtract multiply divide maximum minimum less less_equal
    greater_equal equal floor_divide remainder bitwise_and bitwise_or bitwise_xor"""
BINARY_OF_BOOLS = """add multiply maximum minimum less equal logical_and bitwise_or
    bitwise_xor"""


def named(names: str, *args: Any, kind: str = "") -> list[Row]:
    return [(f"{kind} {name}".strip(), getattr(np, name), args) for name in names.split()]


@rows(
    *named(UNARY, X),
    *named("log log1p sqrt", POSITIVE),
    *named(UNARY_OF_INTEGERS, I, kind="int"),
    *named(BINARY, X, Y),
    *named(BINARY_OF_INTEGERS, I, J, kind="int"),
    *named(BINARY_OF_BOOLS, B, B[0], kind="bool"),
    ("float32", lambda x: np.exp(x) * 2 + 1 / np.float32(3), (F4,)),
    ("invert bool", lambda b: ~b, (B,)),
    ("power of arrays", lambda x, y: x**y, (POSITIVE, Y)),
    ("power 2", lambda x: x**2, (X,)),
    ("power -3", lambda x: x**-3, (X,)),
    ("power 2.0", lambda x: x**2.0, (X,)),
    ("power 0.5", lambda x: x**0.5, (POSITIVE,)),
    ("power 1.7", lambda x: x**1.7, (POSITIVE,)),
    ("power 0", lambda x: x**0, (X,)),
    ("power 1", lambda x: x**1, (X,)),
    ("scalar base", lambda x: 2.0**x, (X,)),
    ("int power", lambda i: i**3, (I,)),
    ("float_power", lambda x: np.float_power(x, 2.0), (X,)),
    ("reflected", lambda x: 1 - (2 / (3 + x)) * 4, (X,)),
    ("reflected modulo", lambda i: 7 % (i * i + 1) + 9 // (i * i + 1), (I,)),
    ("where", lambda x: np.where(x > 0, x, -2 * x), (X,)),
    ("where of scalars", lambda x: np.where(x > 0, 1.0, 0.0), (X,)),
    ("where of numbers", lambda x: np.where(x, x, 1.0), (X,)),
    ("select", lambda x: np.select([x < -1, x < 1], [x, x**2], 5.0), (X,)),
    ("clip", lambda x: np.clip(x, -1, 0.5), (X,)),
    ("clip method", lambda x: x.clip(-1, 0.5), (X,)),
    ("clip low", lambda x: np.clip(x, -1, None), (X,)),
    ("round", lambda x: np.round(x * 10, 1), (X,)),
    ("rint halves", np.rint, (np.array([0.5, 1.5, -0.5, -2.5, 2.4]),)),
    ("nan_to_num", np.nan_to_num, (np.array([1.0, np.nan, np.inf, -np.inf]),)),
    ("sinc", np.sinc, (np.array([0.0, 0.3, -1.2]),)),
    ("real", np.real, (X,)),
    ("isclose", lambda x: np.isclose(x, X * (1 + 1e-6 * np.arange(4) * 8)), (X,)),
    ("NumPy scalar left", lambda x: np.float64(2) * x - np.sqrt(2) + np.int64(3) / x, (X,)),
    ("NumPy scalar compared", lambda x: (np.float64(0.5) < x) | (np.float64(1) == x), (X,)),
    ("expit", lambda x: scipy.special.expit(x) + scipy.special.xlogy(x * 0, x), (X,)),
    ("captured left", lambda x: Y * x, (X,)),
    ("captured matrix", lambda x: np.subtract(X, x), (X,)),
    ("abs operator", lambda x: abs(-x), (X,)),
    ("plus", lambda x: +x, (X,)),
    ("in place", lambda x: _grown(x), (X,)),
    ("bool arithmetic", lambda x: (x > 0) * x + (x < 0) * 0.5, (X,)),
    ("mask algebra", lambda x: (x > 0) & (x < 1) | (x == 0), (X,)),
    ("dtype option", lambda i: np.add(i, 1, dtype=np.float64), (I,)),
)
def test_traced_equals_numpy(f: Any, args: Any) -> None:
    assert_same(f, *args)


def _grown(x: Any) -> Any:
    y = x * 1
    y += x
    y *= 2
    return y


@rows(
    ("sinh", np.sinh, (X,)),
    ("cosh", np.cosh, (X,)),
    ("tan", np.tan, (X,)),
    ("arctan", np.arctan, (X * 10,)),
    ("arcsin", np.arcsin, (X / 2.1,)),
    ("arccos", np.arccos, (X / 2.1,)),
    ("arcs at the ends", lambda x: (np.arcsin(x), np.arccos(x)), (np.array([-1.0, 0.0, 1.0]),)),
    ("arcsinh", np.arcsinh, (X * 100,)),
    ("arccosh", np.arccosh, (1 + POSITIVE,)),
    ("arctanh", np.arctanh, (X / 3,)),
    ("exp2", np.exp2, (X,)),
    ("log2", np.log2, (POSITIVE,)),
    ("log10", np.log10, (POSITIVE,)),
    ("cbrt", np.cbrt, (X,)),
    ("deg2rad", np.deg2rad, (X,)),
    ("degrees", np.degrees, (X,)),
    ("hypot", np.hypot, (X, Y)),
    ("arctan2", np.arctan2, (X, Y)),
    ("logaddexp", np.logaddexp, (X, Y)),
    ("logaddexp of -inf", np.logaddexp, (np.array([-np.inf, 0.0]), np.array([-np.inf, -np.inf]))),
    ("logaddexp2", np.logaddexp2, (X, Y)),
    ("fmax", np.fmax, (np.array([1.0, np.nan]), np.array([np.nan, 2.0]))),
    ("fmin", np.fmin, (np.array([1.0, np.nan]), np.array([np.nan, 2.0]))),
    ("copysign", np.copysign, (X, Y)),
    ("heaviside", np.heaviside, (np.array([-1.0, 0.0, 2.0]), np.array(0.5))),
    ("fmod", np.fmod, (X, Y)),
)
def test_composed_functions_equal_numpy(f: Any, args: Any) -> None:
    assert_same(f, *args, rtol=1e-11)


def test_versions_of_numpy_agree_here_whatever_they_do_themselves() -> None:
    np.testing.assert_array_equal(run(trace(lambda x: x * 2**70, X), X), X * 2.0**70)
    graph = trace(np.floor, I)
    assert graph.out_avals["out"].dtype.label == "int64"


def test_less_equal_is_false_for_nan() -> None:
    x = np.array([np.nan, 1.0])
    graph = trace(lambda x: (x <= 1, x >= 1, x != x), x)
    assert [list(v) for v in run(graph, x)] == [[False, True], [False, True], [True, False]]


@pytest.mark.parametrize(
    ("f", "args", "cure"),
    [
        (lambda x: np.where(x > 0), (X,), "both branches"),
        (lambda i: i**-1, (I,), "astype(np.float64)"),
        (lambda i, j: i ** np.abs(j), (I, J), "astype(np.float64)"),
        (lambda b: b - b, (B,), "np.logical_xor"),
        (lambda x: np.nancumsum(x), (X,), "did you mean np."),
        (lambda x: np.exp(x, where=x > 0), (X,), "np.where"),
        (lambda x: x + np.ones(3, np.int8), (X,), "convert with .astype"),
        (lambda x: np.full((3, 4), x[0, 0]), (X,), "np.broadcast_to(t, shape)"),
        (lambda x: np.broadcast_arrays(x, np.ones(5)), (X,), "shapes that fit"),
        (lambda x: x + np.ones(5), (X,), "trailing axes agree"),
        (lambda x: x[[0, 1], [0, 1, 2]], (X,), "shapes that fit"),
        (lambda x: np.mean(x, dtype="nonsense"), (X,), "np.float32"),
        (lambda u: u + 300, (np.array([1], np.uint8),), "wider dtype"),
    ],
)
def test_what_has_no_graph_is_refused_with_its_cure(f: Any, args: Any, cure: str) -> None:
    error = refusal(f, *args)
    assert cure in str(error)
    assert error.line is not None and error.line.startswith("test_elementwise.py:")
