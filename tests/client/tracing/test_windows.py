"""Sliding windows in traced code, run by the engine, against NumPy."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import compare, numbers, refusal
from support.traced_engine import answer

view = np.lib.stride_tricks.sliding_window_view
X = numbers(4, 5)


@pytest.mark.parametrize(
    "f",
    [lambda x: view(x, (2, 3)), lambda x: view(x, 2, 0), lambda x: view(x, (3, 2), (1, 0))],
)
def test_windows_equal_numpy(f: Any) -> None:
    compare(answer(f, X), f(X), 0, 0)


def test_a_cotangent_is_added_up_over_the_windows() -> None:
    got = answer(lambda x: cr.grad(lambda x: np.sum(view(x, 3)))(x), np.ones(6))
    np.testing.assert_array_equal(got, [1, 2, 3, 3, 2, 1])


@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize("sizes", [(5, 3), (5, 4), (3, 5), (4, 4), (1, 1), (2, 5)])
def test_convolve_and_correlate(sizes: Any, mode: Any) -> None:
    a, v = numbers(sizes[0]), numbers(sizes[1], seed="v")

    def f(a: Any, v: Any) -> Any:
        return np.convolve(a, v, mode), np.correlate(a, v, mode)

    compare(answer(f, a, v), f(a, v), 1e-13, 1e-14)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: view(x, 2), "one size an axis"),
        (lambda x: view(x, (2, 9)), "smaller window"),
        (lambda x: np.convolve(x, x), "two sequences"),
    ],
)
def test_misuse_is_refused(f: Any, text: str) -> None:
    assert text in str(refusal(f, X))
