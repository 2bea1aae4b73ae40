"""Shape rules of linear algebra."""

import pytest

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule.ir.avals import Aval, BatchDim, DType, Shape
from chainrule.ir.builder import Builder

F64 = DType.FLOAT64
N = BatchDim(1)


def inferred(op: str, *shapes: Shape, dtype: DType = F64) -> Shape:
    b = Builder()
    inputs = [b.input(f"x{i}", Aval(dtype, shape)) for i, shape in enumerate(shapes)]
    return b.aval(b.add(op, *inputs)).shape


@pytest.mark.parametrize(
    ("op", "shapes", "out"),
    [
        ("Cholesky", ((N, 3, 3),), (N, 3, 3)),
        ("Solve", ((N, 3, 3), (3, 2)), (N, 3, 2)),
        ("Solve", ((2, 1, 3, 3), (4, 3, 1)), (2, 4, 3, 1)),
        ("TriangularSolve", ((3, 3), (N, 3, 0)), (N, 3, 0)),
        ("LogAbsDet", ((5, 3, 3),), (5, 2)),
        ("LogAbsDet", ((0, 0),), (2,)),
        ("Eigh", ((5, 3, 3),), (5, 4, 3)),
        ("QR", ((4, 3),), (7, 3)),
        ("QR", ((3, 4),), (7, 3)),
        ("SVD", ((N, 4, 3),), (N, 8, 3)),
        ("SVD", ((3, 4),), (8, 3)),
    ],
)
def test_shapes_of_results(op: str, shapes: tuple[Shape, ...], out: Shape) -> None:
    assert inferred(op, *shapes) == out


@pytest.mark.parametrize(
    ("op", "shapes", "text"),
    [
        ("Cholesky", ((3, 4),), "not square"),
        ("Eigh", ((3,),), "no matrix"),
        ("LogAbsDet", ((3, N),), "batch axis in front"),
        ("Solve", ((3, 3), (4, 2)), "3 equations, 4 rows"),
        ("Solve", ((3, 3), (3,)), "no matrix"),
        ("Solve", ((2, 3, 3), (5, 3, 1)), "don't broadcast"),
    ],
)
def test_what_is_refused(op: str, shapes: tuple[Shape, ...], text: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        inferred(op, *shapes)
    assert text in f"{caught.value} {caught.value.cure}"


def test_integers_have_no_decomposition() -> None:
    with pytest.raises(ShapeMismatch) as caught:
        inferred("SVD", (3, 3), dtype=DType.INT64)
    assert caught.value.code is ErrorCode.DTYPE_MISMATCH
