"""scipy.special's ufuncs in traced code, run by the engine, against SciPy itself."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import compare, numbers
from support.traced_engine import answer

special: Any = pytest.importorskip("scipy.special", reason="scipy is an extra")

X = numbers(7)
P = numbers(7, low=0.1, high=0.9)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("erf", (X,)),
        ("erfinv", (P,)),
        ("gammaln", (P * 9,)),
        ("digamma", (P * 9,)),
        ("betaln", (P, P[::-1] * 3)),
        ("ndtri", (P,)),
        ("log_expit", (X * 20,)),
        ("xlog1py", (np.array([0.0, 1.0, 2.0]), np.array([-1.0, 0.5, 3.0]))),
        ("entr", (np.array([0.0, 0.5, 2.0, -1.0]),)),
    ],
)
def test_values_equal_scipy(name: str, args: Any) -> None:
    f = getattr(special, name)
    compare(answer(lambda *xs: f(*xs), *args), f(*args), 1e-12, 1e-14)


def test_derivatives_are_the_known_ones() -> None:
    def slopes(x: Any, p: Any) -> Any:
        return [
            cr.grad(lambda x: np.sum(special.erf(x)))(x),
            cr.grad(lambda p: np.sum(special.gammaln(p)))(p),
            cr.grad(lambda p: np.sum(special.digamma(p)))(p),
        ]

    want = [2 / np.sqrt(np.pi) * np.exp(-(X**2)), special.digamma(P), special.polygamma(1, P)]
    compare(answer(slopes, X, P), want, 1e-12, 0)
