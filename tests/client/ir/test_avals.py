"""dtypes, dimensions and shapes: a closed set, and bounds that no array can pass."""

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode, InvalidGraph
from chainrule.ir.avals import (
    MAX_DIM,
    MAX_ELEMENTS,
    Aval,
    BatchDim,
    DType,
    Shape,
    check_shape,
    dim_at,
    shape_at,
    shape_product,
    shape_text,
)

N = BatchDim(1)


@pytest.mark.parametrize("dtype", [d for d in DType if d is not DType.BFLOAT16])
def test_a_dtype_and_its_numpy_form_name_each_other(dtype: DType) -> None:
    assert DType.of(dtype.numpy) is dtype
    assert dtype.label == dtype.numpy.name
    assert dtype.itemsize == np.zeros((), dtype.numpy).nbytes
    assert dtype.is_float == np.issubdtype(dtype.numpy, np.floating)
    assert dtype.is_integer == np.issubdtype(dtype.numpy, np.integer)


def test_dtype_numbers_are_part_of_the_protocol() -> None:
    numbers = [
        "float64",
        "float32",
        "int64",
        "int32",
        "uint32",
        "uint8",
        "bool",
        "float16",
        "bfloat16",
    ]
    assert [d.label for d in sorted(DType)] == numbers
    assert [int(d) for d in sorted(DType)] == list(range(1, 10))
    assert (DType.BFLOAT16.itemsize, DType.BFLOAT16.is_float) == (2, True)


def test_big_endian_arrays_have_the_dtype_of_their_values() -> None:
    assert DType.of(np.dtype(">f8")) is DType.FLOAT64


@pytest.mark.parametrize("dtype", ["complex128", "int8", "uint16", "uint64", "S3", "O", "M8[s]"])
def test_other_dtypes_are_refused_by_name(dtype: str) -> None:
    with pytest.raises(InvalidGraph, match=r"convert with \.astype to one of float64") as caught:
        DType.of(dtype)
    assert caught.value.code is ErrorCode.BAD_DTYPE


def test_dimensions_become_numbers_for_a_batch() -> None:
    assert (dim_at(3, 10), dim_at(BatchDim(3), 10)) == (3, 30)
    assert shape_at((2, BatchDim(4)), 5) == (2, 20)
    assert Aval(DType.FLOAT32, (N, 3)).concrete(4) == Aval(DType.FLOAT32, (4, 3))


def test_text() -> None:
    assert shape_text((N, BatchDim(7), 3)) == "(N, 7N, 3)"
    assert shape_text((3,)) == "(3,)"
    assert str(Aval(DType.FLOAT32, (BatchDim(2), 3))) == "float32[2N,3]"


def test_products_are_a_number_times_a_power_of_n() -> None:
    assert shape_product((2, BatchDim(3), 5)) == (30, 1)
    assert shape_product((N, N)) == (1, 2)
    assert shape_product((0, N)) == (0, 0)
    assert shape_product(()) == (1, 0)


def test_sizes_are_python_integers_and_never_wrap() -> None:
    aval = Aval(DType.FLOAT64, (MAX_DIM, MAX_DIM, MAX_DIM))
    assert (aval.size, aval.nbytes, aval.rank) == (MAX_DIM**3, 8 * MAX_DIM**3, 3)


def test_a_batched_aval_has_no_concrete_shape() -> None:
    aval = Aval(DType.FLOAT64, (N,))
    assert aval.is_batched
    with pytest.raises(InvalidGraph, match=r"float64\[N\] has no concrete shape"):
        _ = aval.dims


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ((1,) * 9, ErrorCode.RANK_TOO_LARGE),
        ((-1,), ErrorCode.BAD_DIM),
        ((MAX_DIM + 1,), ErrorCode.BAD_DIM),
        ((BatchDim(0),), ErrorCode.BAD_DIM),
        ((BatchDim(-2),), ErrorCode.BAD_DIM),
        ((BatchDim(MAX_DIM + 1),), ErrorCode.BAD_DIM),
        ((2**30, 2**30), ErrorCode.TOO_LARGE),
        ((0, 2**30, 2**30), ErrorCode.TOO_LARGE),
        ((BatchDim(2**30), 2**30), ErrorCode.TOO_LARGE),
    ],
)
def test_shapes_that_no_plan_holds(shape: Shape, code: ErrorCode) -> None:
    with pytest.raises(ChainruleError) as caught:
        check_shape(shape)
    assert caught.value.code is code
    assert caught.value.cure


@pytest.mark.parametrize("shape", [(), (0,), (1,) * 8, (MAX_DIM,), (2**30, 2**29), (N, N)])
def test_shapes_that_are_allowed(shape: Shape) -> None:
    assert check_shape(shape) == shape


def test_numpy_describes_the_largest_allowed_array_of_the_widest_dtype() -> None:
    assert MAX_ELEMENTS > 2**30 * (2**30 - 1)
    shape = check_shape((2**30, 2**30 - 1))
    assert isinstance(shape[0], int)
    assert np.broadcast_to(np.float64(1.0), (2**30, 2**30 - 1)).size < MAX_ELEMENTS
