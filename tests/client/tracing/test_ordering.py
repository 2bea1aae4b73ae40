"""Sorting, running sums and quantiles in traced code, run by the engine, against NumPy."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from chainrule.tracing.ordering import top_k
from support.traced import compare, numbers, refusal
from support.traced_engine import answer

X = numbers(3, 5)
I = np.array([[3, 1, 2], [2, 2, 0]])  # noqa: E741 - an integer array


@pytest.mark.parametrize(
    ("f", "args"),
    [
        (lambda x: (np.sort(x), np.sort(x, 0), np.sort(x, None)), (X,)),
        (lambda x: (np.argsort(x, 0), x.argsort(), np.argsort(x, None)), (X,)),
        (lambda i: (np.sort(i), np.argsort(i, 1), np.cumsum(i), np.cumprod(i, 1)), (I,)),
        (lambda x: (np.cumsum(x), np.cumsum(x, 0), x.cumsum(-1)), (X,)),
        (lambda x: (np.cumprod(x), np.cumprod(x, 0), x.cumprod(-1)), (X,)),
        (lambda b: np.cumsum(b, 1), (X > 0,)),
        (lambda x: [np.median(x, a) for a in (None, 0, 1, (0, 1))], (X,)),
        (lambda x: np.median(x, 1, keepdims=True), (X,)),
        (lambda x: np.quantile(x, [0.1, 0.5, 1.0], axis=1), (X,)),
        (lambda x: np.quantile(x, 0.3, axis=(0, 1), keepdims=True), (X,)),
        (lambda x: np.percentile(x, [[5, 20], [50, 99]], axis=0), (X,)),
    ],
)
def test_values_equal_numpy(f: Any, args: Any) -> None:
    compare(answer(f, *args), f(*args), 1e-12, 1e-14)


def test_a_cotangent_of_a_sorted_value_goes_back_to_where_it_came_from() -> None:
    w = numbers(5)
    got = answer(lambda x: cr.grad(lambda x: np.sum(np.sort(x) * w))(x), X[0])
    np.testing.assert_allclose(got, w[np.argsort(np.argsort(X[0]))])


def test_a_running_product_is_differentiable_at_zero() -> None:
    x, w = np.array([2.0, 0.0, 3.0, 0.5]), numbers(4)
    got = answer(lambda x: cr.grad(lambda x: np.sum(np.cumprod(x) * w))(x), x)
    step = [np.sum(np.cumprod(x + 1e-30j * e) * w).imag / 1e-30 for e in np.eye(4)]
    np.testing.assert_allclose(got, step, atol=1e-14)


def test_the_top_k() -> None:
    values, places = answer(lambda x: top_k(x, 2, axis=1), X)
    np.testing.assert_allclose(values, np.sort(X, axis=1)[:, :-3:-1])
    np.testing.assert_allclose(np.take_along_axis(X, places, 1), values)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: np.quantile(x, 0.5, method="nearest"), "linear"),
        (lambda x: np.quantile(x, x[0, 0]), "as a number"),
        (lambda x: top_k(x, 6), "top 6 of 5"),
    ],
)
def test_what_has_no_graph_is_refused(f: Any, text: str) -> None:
    assert text in str(refusal(f, X))


def test_order_along_the_batch() -> None:
    assert "along the batch" in str(refusal(lambda x: np.median(x), X, batch=0))
    assert "along the batch" in str(refusal(lambda x: np.cumprod(x, 0), X, batch=0))
    got = answer(lambda x: np.cumsum(x, 0), X, n=3, batch=0)
    np.testing.assert_allclose(got, np.cumsum(X, 0))
