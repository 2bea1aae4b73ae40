"""Special functions at the ends of their domains, and the end of the orders of polygamma."""

import subprocess
import sys

import numpy as np
import pytest

from chainrule.errors import InvalidGraph
from chainrule.ir.avals import Aval, DType
from support.op_checks import Array, apply_kernel, node, reverse


def kernel(op: str, values: list[float], **attrs: int) -> Array:
    x = np.array(values)
    return apply_kernel(op, [x], dict(attrs), np.empty_like(x))


def test_poles_and_limits_are_ieee() -> None:
    np.testing.assert_array_equal(kernel("Erf", [-np.inf, 0.0, np.inf]), [-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(kernel("ErfInv", [-1.0, 0.0, 1.0]), [-np.inf, 0.0, np.inf])
    assert np.isnan(kernel("ErfInv", [1.5, np.nan])).all()
    np.testing.assert_array_equal(kernel("Lgamma", [0.0, -1.0, np.inf]), [np.inf] * 3)
    assert np.isinf(kernel("Polygamma", [0.0], n=1)).all()


def test_halves_round_to_the_even_neighbour() -> None:
    found = kernel("Round", [-1.5, -0.5, 0.5, 1.5, 2.5])
    np.testing.assert_array_equal(found, [-2.0, -0.0, 0.0, 2.0, 2.0])


def test_the_derivative_of_the_last_order_is_refused() -> None:
    reverse(node("Polygamma", [Aval(DType.FLOAT64)], {"n": 149}), (0,))
    with pytest.raises(InvalidGraph, match="n of Polygamma is 151"):
        reverse(node("Polygamma", [Aval(DType.FLOAT64)], {"n": 150}), (0,))


def test_the_client_loads_no_scipy() -> None:
    check = "import chainrule, chainrule.ir.matrices, sys; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0
