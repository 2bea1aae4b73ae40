"""Convolutions and pooling: traced equal plain, plain equal a loop over windows."""

from itertools import product
from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import compare, numbers, refusal
from support.traced_engine import answer


def by_loop(x: Any, w: Any, stride: Any, pad: Any, dilation: Any) -> Any:
    """A convolution of (batch, *space, inputs), one product a window and place."""
    rank = w.ndim - 2
    x = np.pad(x, ((0, 0), *pad, (0, 0)))
    spans = [(k - 1) * d + 1 for k, d in zip(w.shape, dilation, strict=False)]
    space = [(x.shape[i + 1] - spans[i]) // stride[i] + 1 for i in range(rank)]
    out: Any = np.zeros((len(x), *space, w.shape[-1]), x.dtype)
    for at in product(*map(range, space)):
        for tap in product(*map(range, w.shape[:rank])):
            place = tuple(
                a * s + t * d for a, s, t, d in zip(at, stride, tap, dilation, strict=True)
            )
            out[(slice(None), *at)] += x[(slice(None), *place)] @ w[tap]
    return out


CASES = [
    ((7,), (3,), (2,), ((1, 2),), (1,)),
    ((6, 5), (3, 2), (1, 2), ((1, 1), (0, 0)), (1, 1)),
    ((6, 7), (2, 3), (1, 1), ((0, 0), (2, 1)), (2, 1)),
    ((4, 3, 5), (2, 1, 2), (1, 1, 2), ((0, 0),) * 3, (1, 1, 1)),
]


@pytest.mark.parametrize(("space", "window", "stride", "pad", "dilation"), CASES)
def test_a_convolution_of_any_rank(
    space: Any, window: Any, stride: Any, pad: Any, dilation: Any
) -> None:
    x, w, b = numbers(2, *space, 3), numbers(*window, 3, 4), numbers(4)

    def f(x: Any, w: Any) -> Any:
        return cr.nn.conv(x, w, b, stride, pad, dilation)

    want = by_loop(x, w, stride, pad, dilation) + b
    compare(f(x, w), want, 1e-12, 1e-12)
    compare(answer(f, x, w), want, 1e-12, 1e-12)


def test_its_gradient_is_the_complex_step() -> None:
    x, w = numbers(2, 6, 5, 3), numbers(3, 2, 3, 4)
    got = answer(
        lambda x, w: cr.grad(lambda w: np.sum(np.sin(cr.nn.conv(x, w, stride=2))))(w), x, w
    )
    d = numbers(*w.shape, seed="d")
    moved = by_loop(x + 0j, w + 1e-30j * d, (2, 2), ((0, 0),) * 2, (1, 1))
    assert np.sum(got * d) == pytest.approx(np.sum(np.sin(moved)).imag / 1e-30, rel=1e-11)


def test_same_keeps_the_length_and_valid_does_not_pad() -> None:
    x, w = numbers(2, 7, 3), numbers(4, 3, 2)
    assert answer(lambda x: cr.nn.conv(x, w, padding="same", dilation=2), x).shape == (2, 7, 2)
    assert answer(lambda x: cr.nn.conv(x, w, padding="valid"), x).shape == (2, 4, 2)


def test_a_batch_is_split() -> None:
    x, w = numbers(9, 6, 6, 2), numbers(3, 3, 2, 4)

    def f(w: Any, x: Any) -> Any:
        return np.mean(cr.nn.max_pool(cr.nn.conv(x, w), 2), axis=(1, 2))

    compare(answer(f, w, x, n=9, workers=2, batch=1), f(w, x), 1e-12, 1e-12)


@pytest.mark.parametrize("stride", [None, 1, (2, 1)])
@pytest.mark.parametrize("padding", [0, ((1, 0), (0, 1))])
def test_pooling(stride: Any, padding: Any) -> None:
    x = numbers(2, 5, 4, 3)

    def f(x: Any) -> Any:
        return [g(x, (2, 3), stride, padding) for g in (cr.nn.max_pool, cr.nn.average_pool)]

    compare(answer(f, x), f(x), 1e-13, 0)
    if stride == 1 and padding == 0:
        pairs = np.lib.stride_tricks.sliding_window_view(x, (2, 3), (1, 2))
        compare(f(x), [pairs.max((-1, -2)), pairs.mean((-1, -2))], 1e-13, 0)


def test_of_equal_elements_the_first_gets_the_cotangent() -> None:
    got = answer(
        lambda x: cr.grad(lambda x: np.sum(cr.nn.max_pool(x, 2, rank=1)))(x), np.ones((1, 4, 1))
    )
    np.testing.assert_array_equal(got[0, :, 0], [1, 0, 1, 0])


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda x: cr.nn.conv(x, np.ones((3, 2, 4))), "weights"),
        (lambda x: cr.nn.conv(x, np.ones((3, 3, 4)), stride=0), "from 1 on"),
        (lambda x: cr.nn.conv(x, np.ones((3, 3, 4)), padding="full"), "valid"),
        (lambda x: cr.nn.max_pool(x, 2), "2 spatial axes"),
        (lambda x: cr.nn.conv(x, np.ones((9, 3, 4))), "smaller window"),
    ],
)
def test_what_does_not_fit_is_refused(f: Any, text: str) -> None:
    assert text in str(refusal(f, numbers(2, 5, 3)))
