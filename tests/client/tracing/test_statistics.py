"""Statistics in traced code, run by the engine, against NumPy."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import compare, numbers
from support.traced_engine import answer

X = numbers(3, 5)
HOLES = np.where(np.abs(X) < 0.7, np.nan, X)
trapezoid: Any = getattr(np, "trapezoid" if hasattr(np, "trapezoid") else "trapz")


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize(
    "name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax", "nanmin"]
)
def test_what_skips_nan(name: str, axis: Any) -> None:
    f = getattr(np, name)
    compare(answer(lambda x: f(x, axis=axis), HOLES), f(HOLES, axis=axis), 1e-12, 1e-14)
    kept = answer(lambda x: f(x, axis=axis, keepdims=True), HOLES)
    compare(kept, f(HOLES, axis=axis, keepdims=True), 1e-12, 1e-14)


@pytest.mark.parametrize("name", ["nansum", "nanprod", "nanmean", "nanvar", "nanstd", "nanmax"])
def test_nan_gets_no_cotangent(name: str) -> None:
    f = getattr(np, name)
    got = answer(lambda x: cr.grad(lambda x: np.sum(f(x, axis=1)))(x), HOLES)
    assert np.all(np.isfinite(got)) and not got[np.isnan(HOLES)].any()


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (np.cov, (X,)),
        (lambda x, y: np.cov(x, y, rowvar=False, bias=True), (X, X**2)),
        (lambda x: np.cov(x[0], ddof=2), (X,)),
        (np.corrcoef, (X,)),
        (lambda x: np.corrcoef(x[0], x[1]), (X,)),
        (np.polyval, (numbers(4), X)),
        (lambda y: (trapezoid(y), trapezoid(y, dx=0.5, axis=0)), (X,)),
        (lambda y, x: trapezoid(y, x), (X, np.sort(numbers(5)))),
    ],
)
def test_values_equal_numpy(f: Any, args: Any) -> None:
    compare(answer(f, *args), f(*args), 1e-12, 1e-13)
