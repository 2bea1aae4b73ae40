"""Casts through bfloat16, and a Where that writes into its own operand."""

import numpy as np
import pytest

from chainrule.errors import ErrorCode, NumericError
from chainrule.ir.avals import Aval, DType
from chainrule_server.engine.ops import OPS
from support.op_checks import Array, apply_kernel, node, reverse


def test_bfloat16_rounds_to_nearest_even_and_keeps_nan() -> None:
    x = np.array([1.0, -2.5, np.inf, -np.inf, np.nan, 0.0, 3.4e38, 1e-40], np.float32)
    # 1 + 2^-8 lies between two neighbours; the even one is 1, and above it 1 + 2^-7 after 1 + 3 * 2^-8
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20], np.float32)
    stored = apply_kernel(
        "Cast", [np.concatenate([x, ties])], {"dtype": DType.BFLOAT16}, np.empty(11, np.uint16)
    )
    back = apply_kernel("Cast", [stored], {"dtype": DType.FLOAT32}, np.empty(11, np.float32))
    np.testing.assert_array_equal(back[:6], x[:6])
    assert back[6] == np.inf, "above the largest bfloat16"
    np.testing.assert_array_equal(back[8:], [1.0, 1 + 2**-6, 1 + 2**-7])


@pytest.mark.parametrize("source", [np.float64, np.int32, bool])
def test_every_number_can_be_stored_as_bfloat16(source: type) -> None:
    x: Array = np.array([0, 1, 1], source)
    stored = apply_kernel("Cast", [x], {"dtype": DType.BFLOAT16}, np.empty(3, np.uint16))
    back = apply_kernel("Cast", [stored], {"dtype": DType.FLOAT64}, np.empty(3))
    assert back.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("source", "target"), [(DType.INT64, DType.FLOAT64), (DType.FLOAT64, DType.INT64)]
)
def test_a_cast_from_or_to_integers_carries_no_derivative(source: DType, target: DType) -> None:
    rule = OPS["Cast"].vjp
    assert callable(rule)
    flat = node("Cast", [Aval(source, (2,))], {"dtype": target})
    if source.is_float:
        assert reverse(node("Cast", [Aval(source, (2,))], {"dtype": DType.FLOAT32}), (0,))
    assert flat.function.out_avals[0].dtype is target


@pytest.mark.parametrize(
    ("value", "target"),
    [
        (np.nan, DType.INT64),
        (np.inf, DType.INT32),
        (2.0**63, DType.INT64),
        (-(2.0**31) - 1, DType.INT32),
        (256.0, DType.UINT8),
        (-1.0, DType.UINT32),
    ],
)
def test_a_float_that_no_integer_stands_for_is_refused(value: float, target: DType) -> None:
    with pytest.raises(NumericError, match=f"is no {target.label}.*np.where") as caught:
        apply_kernel("Cast", [np.array([0.5, value])], {"dtype": target}, np.empty(2, target.numpy))
    assert caught.value.code is ErrorCode.NUMERIC_FAILURE


def test_the_outermost_floats_of_an_integer_are_cast() -> None:
    x = np.array([-(2.0**63), 2.0**63 - 1024, -0.9])
    found = apply_kernel("Cast", [x], {"dtype": DType.INT64}, np.empty(3, np.int64))
    assert found.tolist() == [-(2**63), 2**63 - 1024, 0]
    nothing = apply_kernel("Cast", [x[:0]], {"dtype": DType.INT64}, np.empty(0, np.int64))
    assert nothing.size == 0


def test_where_keeps_every_bit_of_what_it_selects() -> None:
    strange = np.array([-0.0, np.nan, -np.inf, 5e-324])
    condition = np.array([True, False, True, False])
    found = apply_kernel("Where", [condition, strange, -strange], {}, np.empty(4))
    assert found.tobytes() == np.where(condition, strange, -strange).tobytes()


def test_a_nan_that_is_not_chosen_does_not_show() -> None:
    condition, a, b = np.array([True, False]), np.array([1.0, np.nan]), np.array([np.nan, 2.0])
    assert apply_kernel("Where", [condition, a, b], {}, np.empty(2)).tolist() == [1.0, 2.0]
