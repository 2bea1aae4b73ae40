"""Matrices that have no answer: NaN goes through, a failure names the matrix and the cure."""

from typing import Any

import numpy as np
import pytest

from chainrule.errors import ErrorCode, NumericError, Unsupported
from chainrule_server.engine.ops import OPS
from support.op_checks import Array, apply_kernel, empty, out_aval

ONE = ("Cholesky", "LogAbsDet", "Eigh", "QR", "SVD")


def kernel(op: str, *arrays: Array, **attrs: Any) -> Array:
    return apply_kernel(op, arrays, attrs, empty(out_aval(op, arrays, attrs)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("op", ONE)
def test_a_matrix_with_nan_gives_nan_and_leaves_its_neighbours_alone(op: str, bad: float) -> None:
    a = np.stack([2 * np.eye(3), 3 * np.eye(3)])
    alone = kernel(op, a)
    a[0, 1, 2] = bad
    found = kernel(op, a)
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], alone[1])


def test_a_system_with_nan_gives_nan() -> None:
    a, b = np.stack([np.eye(2), np.eye(2)]), np.ones((2, 1))
    a[1, 0, 0] = np.nan
    found = kernel("Solve", a, b)
    np.testing.assert_array_equal(found[0], b)
    assert np.isnan(found[1]).all()


def test_an_indefinite_matrix_is_named() -> None:
    a = np.stack([np.eye(2), -np.eye(2)])
    with pytest.raises(NumericError, match="matrix 1 is not positive definite") as caught:
        kernel("Cholesky", a)
    assert caught.value.code is ErrorCode.NUMERIC_FAILURE
    assert "identity" in str(caught.value.cure)


def test_a_singular_system_is_named() -> None:
    with pytest.raises(NumericError, match="the matrix is singular"):
        kernel("Solve", np.ones((2, 2)), np.ones((2, 1)))
    with pytest.raises(NumericError, match=r"matrix \(1, 0\) is singular"):
        kernel("Solve", np.stack([[np.eye(2)], [np.zeros((2, 2))]]), np.ones((2, 1)))
    with pytest.raises(NumericError, match="0 on its diagonal"):
        kernel(
            "TriangularSolve",
            np.zeros((2, 2)),
            np.ones((2, 1)),
            lower=True,
            transpose=False,
            unit=False,
        )


def test_a_unit_triangle_reads_neither_its_diagonal_nor_the_other_side() -> None:
    a = np.array([[0.0, np.nan], [3.0, 0.0]])
    found = kernel(
        "TriangularSolve", a, np.array([[1.0], [5.0]]), lower=True, transpose=False, unit=True
    )
    np.testing.assert_array_equal(found, [[1.0], [2.0]])


def test_the_determinant_of_a_singular_matrix_is_0() -> None:
    np.testing.assert_array_equal(kernel("LogAbsDet", np.zeros((2, 2))), [0.0, -np.inf])
    np.testing.assert_array_equal(kernel("LogAbsDet", np.zeros((0, 0))), [1.0, 0.0])


@pytest.mark.parametrize("op", ONE)
def test_half_precision_is_refused(op: str) -> None:
    bind = OPS[op].bind
    assert bind is not None
    with pytest.raises(Unsupported, match="float16"):
        bind((np.eye(2, dtype=np.float16),), np.empty((5, 2), np.float16), {})
