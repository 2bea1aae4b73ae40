"""Fourier transforms on pairs: traced equal NumPy's on complex arrays, and their gradients."""

from typing import Any

import numpy as np
import pytest

import chainrule as cr
from support.traced import numbers, refusal
from support.traced_engine import answer

Z = numbers(3, 5) + 1j * numbers(3, 5, seed="im")


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["fft", "ifft"])
def test_transforms_of_pairs(name: str, axis: int) -> None:
    ours, theirs = getattr(cr.fft, name), getattr(np.fft, name)
    pairs = cr.fft.as_pairs(Z)
    got = answer(lambda z: ours(z, axis), pairs)
    np.testing.assert_allclose(cr.fft.as_complex(got), theirs(Z, axis=axis), rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(cr.fft.as_complex(ours(pairs, axis)), theirs(Z, axis=axis))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(4, 5), (1, 6), (7, 2)])
def test_transforms_of_real_numbers_and_back(shape: Any, axis: int) -> None:
    x = numbers(*shape)
    got = answer(lambda x: cr.fft.rfft(x, axis), x)
    want = np.fft.rfft(x, axis=axis)
    np.testing.assert_allclose(cr.fft.as_complex(got), want, rtol=1e-12, atol=1e-13)
    # imaginary parts that no real signal has don't count
    odd = want + 1j * numbers(*want.shape)
    back = answer(lambda z: cr.fft.irfft(z, shape[axis], axis), cr.fft.as_pairs(odd))
    expected = np.fft.irfft(odd, shape[axis], axis=axis)
    np.testing.assert_allclose(back, expected, rtol=1e-12, atol=1e-13)


def test_the_gradient_of_a_power_spectrum() -> None:
    # sum |rfft(x)|^2 over all n frequencies is n |x|^2
    x = numbers(6)

    def power(x: Any) -> Any:
        return np.sum(cr.fft.fft(np.stack([x, np.zeros_like(x)], -1)) ** 2)

    np.testing.assert_allclose(answer(lambda x: cr.grad(power)(x), x), 12 * x, rtol=1e-12)


def test_complex_results_are_refused_with_the_cure() -> None:
    assert "cr.fft.rfft" in str(refusal(lambda x: np.fft.rfft(x), np.ones(4)))
    assert "last axis of length 2" in str(refusal(lambda x: cr.fft.fft(x), np.ones(4)))
    assert "n // 2 + 1" in str(refusal(lambda x: cr.fft.irfft(x, 9), np.ones((4, 2))))
