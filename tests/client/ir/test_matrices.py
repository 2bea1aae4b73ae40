"""Masks, diagonals and the factors of packed decompositions, against NumPy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.ir import matrices
from chainrule.ir.avals import Aval, DType
from chainrule.ir.builder import Builder
from chainrule.ir.expr import Expr
from chainrule_server.engine.executor import evaluate
from chainrule_server.engine.plan import plan_function

Array = NDArray[Any]
A = np.random.default_rng(8).standard_normal((2, 4, 4))
TALL = np.random.default_rng(9).standard_normal((2, 5, 3))


def computed(f: Callable[[Expr], Any], x: Array) -> list[Array]:
    b = Builder()
    found = f(Expr(b, b.input("x", Aval(DType.FLOAT64, x.shape))))
    several = found if isinstance(found, tuple) else (found,)
    names = [str(k) for k in range(len(several))]
    return evaluate(plan_function(b.finish([e.id for e in several], names)), [x])


def _diagonal_matrix(d: Array) -> Array:
    return np.stack([np.diag(row) for row in d])


@pytest.mark.parametrize(
    ("f", "reference"),
    [
        (matrices.below, np.tril),
        (lambda a: matrices.below(a, -1), lambda a: np.tril(a, -1)),
        (matrices.above, np.triu),
        (lambda a: matrices.above(a, 1), lambda a: np.triu(a, 1)),
        (matrices.half_below, lambda a: (np.tril(a) + np.tril(a, -1)) / 2),
        (matrices.symmetric, lambda a: (a + a.transpose(0, 2, 1)) / 2),
        (matrices.diagonal, lambda a: np.diagonal(a, axis1=1, axis2=2)),
        (
            lambda a: matrices.as_diagonal(matrices.diagonal(a)),
            lambda a: _diagonal_matrix(np.diagonal(a, axis1=1, axis2=2)),
        ),
        (lambda a: matrices.identity(a, 3), lambda a: np.eye(3)),
        (lambda a: matrices.rows(a, 1, 3), lambda a: a[:, 1:3]),
        (lambda a: matrices.columns(a, 0, 2), lambda a: a[..., :2]),
    ],
)
def test_parts_of_matrices(f: Callable[[Expr], Expr], reference: Callable[[Array], Array]) -> None:
    np.testing.assert_allclose(computed(f, A)[0], reference(A), rtol=1e-15)


def test_a_matrix_is_the_product_of_its_factors() -> None:
    w, v = computed(matrices.eigh, A)
    both = (A + A.transpose(0, 2, 1)) / 2
    np.testing.assert_allclose(v * w[:, None] @ v.transpose(0, 2, 1), both, atol=1e-14)
    for x in (TALL, TALL.transpose(0, 2, 1).copy()):
        q, r = computed(matrices.qr, x)
        np.testing.assert_allclose(q @ r, x, atol=1e-14)
        u, s, v = computed(matrices.svd, x)
        np.testing.assert_allclose(u * s[:, None] @ v.transpose(0, 2, 1), x, atol=1e-14)


def test_systems_and_determinants() -> None:
    spd = A @ A.transpose(0, 2, 1) + np.eye(4)
    (low,) = computed(matrices.cholesky, spd)
    np.testing.assert_allclose(low @ low.transpose(0, 2, 1), spd, rtol=1e-13)
    (x,) = computed(lambda a: matrices.solve(a, a @ a), spd)
    np.testing.assert_allclose(x, spd, rtol=1e-12)
    (y,) = computed(lambda a: matrices.triangular_solve(matrices.below(a), a), spd)
    np.testing.assert_allclose(np.tril(spd) @ y, spd, rtol=1e-12)
    sign, value = computed(matrices.log_abs_det, A)
    expected = np.linalg.slogdet(A)
    np.testing.assert_array_equal(sign, expected[0])
    np.testing.assert_allclose(value, expected[1], rtol=1e-14)
