"""Integer arithmetic where NumPy would answer nonsense, and IEEE where floats have an answer."""

import warnings

import numpy as np
import pytest

from chainrule.errors import ErrorCode, NumericError
from chainrule_server.engine.ops import OPS
from support.op_checks import apply_kernel


@pytest.mark.parametrize("op", ["IntDiv", "Mod"])
@pytest.mark.parametrize("divisors", [[0], [3, 0, 2], [[1, 2], [0, 4]]])
def test_an_integer_division_by_zero_is_refused(op: str, divisors: list[int]) -> None:
    b = np.array(divisors)
    with pytest.raises(NumericError, match="divided by 0") as caught:
        apply_kernel(op, [np.ones_like(b), b], {}, np.empty_like(b))
    assert caught.value.code is ErrorCode.NUMERIC_FAILURE


def test_a_divisor_is_checked_at_every_run() -> None:
    a, b, out = np.array([7, 8]), np.array([2, 2]), np.empty(2, np.int64)
    bind = OPS["IntDiv"].bind
    assert bind is not None
    run = bind((a, b), out, {})
    run()
    assert out.tolist() == [3, 4]
    b[1] = 0
    with pytest.raises(NumericError):
        run()


def test_integer_quotient_and_remainder_round_towards_minus_infinity() -> None:
    a, b = np.array([-7, 7, -7, 7]), np.array([2, -2, -2, 2])
    assert apply_kernel("IntDiv", [a, b], {}, np.empty(4, np.int64)).tolist() == [-4, -4, 3, 3]
    assert apply_kernel("Mod", [a, b], {}, np.empty(4, np.int64)).tolist() == [1, -1, -1, 1]


def test_floats_follow_ieee_without_a_warning() -> None:
    a, b = np.array([1.0, -1.0, 0.0]), np.zeros(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = apply_kernel("Div", [a, b], {}, np.empty(3))
    np.testing.assert_array_equal(found, [np.inf, -np.inf, np.nan])


def test_a_nan_wins_a_maximum_and_a_minimum() -> None:
    a, b = np.array([np.nan, 1.0]), np.array([1.0, np.nan])
    for op in ("Max", "Min"):
        assert np.isnan(apply_kernel(op, [a, b], {}, np.empty(2))).all()
