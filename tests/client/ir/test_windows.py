"""Shape rules of windows, orders and transforms: what they give, and what they refuse."""

from typing import Any

import pytest

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule.ir.attrs import AttrValue
from chainrule.ir.avals import Aval, BatchDim, DType, Shape
from chainrule.ir.builder import Builder

F64 = DType.FLOAT64
N = BatchDim(1)


def inferred(op: str, shape: Shape, /, kind: Any = F64, **attrs: Any) -> Aval:
    b = Builder()
    return b.aval(b.add(op, b.input("x", Aval(kind, shape)), **attrs))


def window(
    axes: tuple[int, ...], size: int, stride: int = 1, dilation: int = 1
) -> dict[str, AttrValue]:
    k = len(axes)
    return {
        "axes": axes,
        "sizes": (size,) * k,
        "strides": (stride,) * k,
        "dilations": (dilation,) * k,
    }


def test_an_axis_becomes_its_windows_and_elements_come_last() -> None:
    assert inferred("Unfold", (N, 3, 9, 9), **window((2, 3), 3, 2)).shape == (N, 3, 4, 4, 3, 3)
    assert inferred("Unfold", (7,), **window((-1,), 2, 3, 2)).shape == (2, 2)


def test_a_fold_gives_back_the_shape() -> None:
    back = inferred("Fold", (N, 3, 4, 4, 3, 3), **window((2, 3), 3, 2), lengths=(9, 9))
    assert back.shape == (N, 3, 9, 9)
    # a tenth place that no window of stride 2 reaches
    assert inferred("Fold", (4, 3), **window((0,), 3, 2), lengths=(10,)).shape == (10,)


@pytest.mark.parametrize(
    ("shape", "attrs", "text"),
    [
        ((4,), window((0,), 5), "window of 5"),
        ((N, 4), window((0,), 2), "batch axis"),
        ((4, 4), window((0, 0), 2), "axis twice"),
        ((4,), window((0,), 0), "give a number from 1 on"),
        ((4,), {**window((0,), 2), "strides": (1, 1)}, "strides"),
        ((4,), window((1,), 2), "axis 1"),
    ],
)
def test_windows_that_are_refused(shape: Shape, attrs: dict[str, AttrValue], text: str) -> None:
    with pytest.raises(ShapeMismatch) as caught:
        inferred("Unfold", shape, **attrs)
    assert text in f"{caught.value} {caught.value.cure}"


@pytest.mark.parametrize("lengths", [(8,), (20,), (9, 9)])
def test_a_fold_of_other_windows_is_refused(lengths: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch):
        inferred("Fold", (7, 3), **window((0,), 3), lengths=lengths)


def test_orders_and_sums_keep_the_shape() -> None:
    assert inferred("ArgSort", (N, 3), axis=-1) == Aval(DType.INT64, (N, 3))
    assert inferred("CumSum", (2, 3), DType.INT32, axis=0) == Aval(DType.INT32, (2, 3))
    with pytest.raises(ShapeMismatch) as caught:
        inferred("CumSum", (2, 3), axis=2)
    assert caught.value.code is ErrorCode.BAD_AXIS


@pytest.mark.parametrize(
    ("shape", "axes"), [((4, 3), (0,)), ((4, 2), (1,)), ((4, 2), (0, 0)), ((0, 2), (0,))]
)
def test_transforms_that_are_refused(shape: Shape, axes: tuple[int, ...]) -> None:
    with pytest.raises(ShapeMismatch):
        inferred("Dft", shape, axes=axes)


def test_a_transform_keeps_the_shape() -> None:
    assert inferred("Dft", (N, 4, 2), axes=(1,)).shape == (N, 4, 2)
