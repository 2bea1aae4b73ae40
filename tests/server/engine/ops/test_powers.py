"""Powers with a plain integer as exponent."""

import mpmath
import numpy as np
import pytest

from chainrule.errors import ErrorCode, NumericError
from chainrule_server.engine.ops import OPS
from support.op_checks import Array, apply_kernel, avals_of, node, reverse, run


@pytest.mark.parametrize("n", [*range(-20, 21), 1024, -1024])
def test_a_power_is_within_its_rounding_errors(n: int) -> None:
    x = np.random.default_rng(n % 97).uniform(0.6, 1.6, 64)
    found = apply_kernel("IntPow", [x], {"n": n}, np.empty(64))
    exact = [float(mpmath.mpf(float(v)) ** n) for v in x]
    # One rounding a product, at most six products for an exponent of 16, and one for the reciprocal; each
    # error is doubled by the squarings after it.
    np.testing.assert_allclose(found, exact, rtol=(abs(n) + 2) * 2**-53 if abs(n) <= 16 else 1e-15)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_integers_have_powers(dtype: type, n: int) -> None:
    x: Array = np.arange(4, dtype=dtype)
    found = apply_kernel("IntPow", [x], {"n": n}, np.empty(4, dtype))
    assert found.tolist() == [k**n for k in range(4)]


def test_a_negative_power_of_an_integer_is_refused() -> None:
    bind = OPS["IntPow"].bind
    assert bind is not None
    with pytest.raises(NumericError, match="an integer to the power -1") as caught:
        bind((np.arange(3),), np.empty(3, np.int64), {"n": -1})
    assert caught.value.code is ErrorCode.NUMERIC_FAILURE


def test_a_square_is_differentiable_at_zero_to_any_order() -> None:
    x, one = np.array(0.0), np.array(1.0)
    derivative = node("IntPow", avals_of([x]), {"n": 2})
    expected = [0.0, 2.0, 0.0, 0.0]
    arrays = [x]
    for value in expected:
        derivative = reverse(derivative, (0,))
        arrays.append(one)
        assert float(run(derivative, arrays)[0]) == value
