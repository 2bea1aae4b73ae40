"""The product's layouts, and the gradient of a matrix that every example shares."""

from typing import Any

import numpy as np
import pytest

from chainrule.ir.avals import Aval, DType
from chainrule_server.engine.ops import OPS
from support.op_checks import LAYOUTS, Array, apply_kernel, laid_out, node, reverse

SHAPES = (((6, 5), (5, 4)), ((3, 6, 5), (5, 4)), ((6, 5), (3, 5, 4)), ((3, 6, 5), (3, 5, 4)))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("right", LAYOUTS)
@pytest.mark.parametrize("left", LAYOUTS)
def test_a_product_of_any_two_layouts(
    left: str,
    right: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    dtype: type[np.floating[Any]],
) -> None:
    rng = np.random.default_rng(7)
    drawn: list[Array] = [rng.standard_normal(s).astype(dtype) for s in shapes]
    a, b = laid_out(drawn[0], left), laid_out(drawn[1], right)
    exact = np.matmul(a.astype(np.longdouble), b.astype(np.longdouble))
    found = apply_kernel("MatMul", [a, b], {}, np.empty(exact.shape, dtype))
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(found, exact.astype(np.float64), rtol=8 * eps, atol=16 * eps)


def test_repeated_matrices_are_packed_once() -> None:
    """A cotangent expanded over the batch costs one matrix of workspace, not one an example."""
    one = np.broadcast_to(np.array(1.0), (50, 8, 9))
    b = np.ones((50, 9, 4))
    op = OPS["MatMul"]
    assert op.workspace((one, b), np.empty((50, 8, 4)), {}) == 8 * 9 * 8
    np.testing.assert_array_equal(apply_kernel("MatMul", [one, b], {}, np.empty((50, 8, 4))), 9.0)


def test_blas_reads_transposed_and_cut_matrices_in_place() -> None:
    wide = np.ones((10, 20))
    views: tuple[Array, ...] = (wide, wide.T, wide[:, 3:9], wide[2:5].T)
    for view in views:
        other = np.ones((view.shape[1], 3))
        assert OPS["MatMul"].workspace((view, other), np.empty((view.shape[0], 3)), {}) == 0


def test_integers_multiply_exactly() -> None:
    a, b = np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4)
    np.testing.assert_array_equal(
        apply_kernel("MatMul", [a, b.T.T], {}, np.empty((2, 4), np.int64)), a @ b
    )


def test_an_inner_axis_of_length_zero_gives_zeros() -> None:
    found = apply_kernel("MatMul", [np.ones((2, 0)), np.ones((0, 3))], {}, np.full((2, 3), np.nan))
    np.testing.assert_array_equal(found, np.zeros((2, 3)))


def test_the_gradient_of_a_shared_matrix_forms_no_product_an_example() -> None:
    f64 = DType.FLOAT64
    flat = node("MatMul", [Aval(f64, (32, 7, 5)), Aval(f64, (5, 3))], {})
    f = reverse(flat, (1,)).function
    products = [aval for op, aval in zip(f.ops, f.avals, strict=True) if op == "MatMul"]
    assert products == [Aval(f64, (5, 3))]
