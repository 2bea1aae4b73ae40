"""Operators that write rows: what stands there, and that its meaning is Python's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule.errors import ChainruleError
from chainrule.ir import expr
from chainrule.ir.avals import DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from support import naive
from support.written import f4, f8, function, i8

X = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]])


@pytest.mark.parametrize(
    "body",
    [
        lambda x: x + 2, lambda x: 2 + x, lambda x: x - 2.5, lambda x: 2.5 - x,
        lambda x: x * 3, lambda x: 3 * x, lambda x: x / 4, lambda x: 4 / x, lambda x: x**2,
        lambda x: x**-1, lambda x: -x, lambda x: abs(x),
        lambda x: x + x, lambda x: x - x * x, lambda x: x / (x * x),
    ],
)  # fmt: skip
def test_operators_mean_what_they_mean_for_arrays(body: Callable[[Any], Any]) -> None:
    f = function({"x": f8(2, 3)}, body)
    np.testing.assert_allclose(naive.outputs(f, {"x": X})["out"], body(X), rtol=1e-15)


@pytest.mark.parametrize(
    ("name", "numpy"),
    [
        ("exp", np.exp), ("expm1", np.expm1), ("sin", np.sin), ("cos", np.cos),
        ("tanh", np.tanh), ("sign", np.sign),
    ],
)  # fmt: skip
def test_functions(name: str, numpy: Callable[[Any], Any]) -> None:
    f = function({"x": f8(2, 3)}, getattr(expr, name))
    np.testing.assert_array_equal(naive.outputs(f, {"x": X})["out"], numpy(X))


@pytest.mark.parametrize("name", ["log", "log1p", "sqrt"])
def test_functions_of_positive_numbers(name: str) -> None:
    f = function({"x": f8(2, 3)}, lambda x: getattr(expr, name)(abs(x)))
    np.testing.assert_array_equal(naive.outputs(f, {"x": X})["out"], getattr(np, name)(np.abs(X)))


@pytest.mark.parametrize(
    ("body", "want"),
    [
        (lambda x, y: expr.power(abs(x), y), np.abs(X) ** (X * X)),
        (expr.maximum, np.maximum(X, X * X)),
        (expr.minimum, np.minimum(X, X * X)),
        (expr.less, X < X * X),
        (expr.equal, X == X * X),
        (lambda x, y: expr.where(expr.less(x, y), x, y), np.where(X < X * X, X, X * X)),
    ],
)
def test_functions_of_two(body: Callable[..., Expr], want: Any) -> None:
    f = function({"x": f8(2, 3)}, lambda x: body(x, x * x))
    np.testing.assert_allclose(naive.outputs(f, {"x": X})["out"], want, rtol=1e-15)


def test_numbers_take_the_dtype_of_the_other_side() -> None:
    assert function({"x": f4(3)}, lambda x: x * 2 + 0.1).out_avals == (f4(3),)
    assert function({"k": i8(3)}, lambda k: k * 2 + True).out_avals == (i8(3),)


def test_two_dtypes_never_meet_silently() -> None:
    with pytest.raises(ChainruleError, match="dtypes float32 and float64 meet; insert a Cast"):
        function({"x": f4(3), "y": f8(3)}, lambda x, y: x + y)


def test_what_changes_nothing_writes_nothing() -> None:
    b = Builder()
    x = Expr(b, b.input("x", f8(2, 3)))
    same = (
        expr.reshape(x, (2, 3)),
        expr.transpose(x, (0, 1)),
        expr.expand(x, (2, 3)),
        expr.cast(x, DType.FLOAT64),
        expr.reduce_sum(x, ()),
        expr.reduce_max(x, ()),
    )
    assert [e is x for e in same] == [True] * 6
    assert len(b) == 1


def test_zeros_and_ones_are_filled() -> None:
    f = function({"x": f8(2)}, lambda x: {"z": expr.zeros(x.b, f4(9)), "o": expr.ones(x.b, f8(3))})
    got = naive.outputs(f, {"x": np.zeros(2)})
    np.testing.assert_array_equal(got["z"], np.zeros(9, np.float32))
    np.testing.assert_array_equal(got["o"], np.ones(3))
    assert f.ops == ("Input", "Constant", "Constant")


def test_properties() -> None:
    b = Builder()
    x = Expr(b, b.input("x", f8(2, 3, 4)))
    assert (x.shape, x.dtype, x.aval) == ((2, 3, 4), DType.FLOAT64, f8(2, 3, 4))
    assert x.mT.shape == (2, 4, 3)
