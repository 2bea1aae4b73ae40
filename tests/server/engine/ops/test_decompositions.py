"""Degenerate cases: equal values have no vectors of their own, and no derivative is NaN."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule.errors import NumericError
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr, reduce_sum
from chainrule.ir.matrices import eigh, over_columns, qr, svd
from chainrule_server.engine.flat import Flat
from support.op_checks import Array, reverse, run, second

TWICE = np.diag([1.0, 2.0, 2.0])


def loss(f: Callable[[Expr], Expr], shape: tuple[int, ...]) -> Flat:
    b = Builder()
    y = f(Expr(b, b.input("x0", Aval(DType.FLOAT64, shape))))
    total = reduce_sum(y, tuple(range(y.aval.rank)))
    return Flat(b.finish([total.id], ["y"]), b.debug())


def gradient(f: Callable[[Expr], Expr], x: Array) -> Array:
    return run(reverse(loss(f, x.shape), (0,)), [x, np.array(1.0)])[0]


def _cubes(w: Expr) -> Expr:
    return w**3


def _rebuilt(a: Expr) -> Expr:
    w, v = eigh(a)
    return v * over_columns(w**3) @ v.mT


def _rebuilt_svd(a: Expr) -> Expr:
    u, s, v = svd(a)
    return u * over_columns(s**3) @ v.mT


def test_a_function_of_equal_eigenvalues_has_its_gradient() -> None:
    # trace of a^3:  3 a^2
    np.testing.assert_allclose(gradient(lambda a: _cubes(eigh(a)[0]), TWICE), 3 * TWICE @ TWICE)


def test_a_function_of_equal_singular_values_has_its_gradient() -> None:
    # sum of s^3 of a symmetric positive a:  3 a^2
    np.testing.assert_allclose(
        gradient(lambda a: _cubes(svd(a)[1]), TWICE), 3 * TWICE @ TWICE, atol=1e-14
    )


@pytest.mark.parametrize("f", [_rebuilt, _rebuilt_svd])
@pytest.mark.parametrize("x", [TWICE, np.zeros((2, 2)), np.eye(3)])
def test_no_derivative_of_a_degenerate_matrix_is_nan(f: Callable[[Expr], Expr], x: Array) -> None:
    assert np.isfinite(gradient(f, x)).all()
    t = np.ones(x.shape)
    (found,) = run(second(loss(f, x.shape), (0,)), [x, t, t])
    assert np.isfinite(found).all()


def test_vectors_that_are_apart_have_their_derivative_beside_equal_ones() -> None:
    # the first vector turns towards the direction of the perturbation, by 1 / (1 - 2)
    def first_vector(a: Expr) -> Expr:
        v = eigh(a)[1]
        weights = np.zeros((3, 3))
        weights[1, 0] = 1.0
        return v * Expr(v.b, v.b.constant(weights))

    sign = np.sign(np.linalg.eigh(TWICE)[1][0, 0])
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = -0.5 * sign
    np.testing.assert_allclose(gradient(first_vector, TWICE), expected, atol=1e-15)


def test_the_gradient_of_a_qr_without_full_rank_is_refused() -> None:
    with pytest.raises(NumericError, match="singular"):
        gradient(lambda a: qr(a)[0], np.zeros((3, 2)))


def test_every_sign_is_lapacks() -> None:
    a = np.random.default_rng(2).standard_normal((4, 3))
    b = Builder()
    x = Expr(b, b.input("x", Aval(DType.FLOAT64, a.shape)))
    flat = Flat(b.finish([e.id for e in qr(x)], ["q", "r"]), b.debug())
    found: list[Any] = run(flat, [a])
    for ours, theirs in zip(found, np.linalg.qr(a), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-13, atol=1e-15)
