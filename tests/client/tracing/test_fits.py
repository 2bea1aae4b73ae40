"""Formulas of the batch size, found from three values, and nothing found where there is none."""

from typing import Any

import numpy as np
import pytest

from chainrule.ir.avals import BatchDim
from chainrule.tracing.fits import (
    Affine,
    Filled,
    Fixed,
    Identity,
    Repeated,
    Scalar,
    fit_array,
    fit_dim,
    fit_scalar,
)

SIZES = (5, 7, 11)
N = BatchDim()


def arrays(make: Any) -> list[Any]:
    return [np.asarray(make(n)) for n in SIZES]


def value(scalar: Scalar, n: int) -> float:
    line = scalar.a + scalar.b * n
    if scalar.inverse:
        return float(scalar.c / line)
    return float(line + (scalar.c * n**scalar.p if scalar.c else 0))


@pytest.mark.parametrize(
    ("values", "dim"),
    [
        ((3, 3, 3), 3),
        ((5, 7, 11), N),
        ((15, 21, 33), BatchDim(3)),
        ((0, 0, 0), 0),
        ((-5, -7, -11), BatchDim(-1)),
        ((4, 6, 10), None),
        ((25, 49, 121), None),
        ((10, 14, 21), None),
    ],
)
def test_dimensions(values: Any, dim: Any) -> None:
    assert fit_dim(values, SIZES) == dim


FORMULAS: dict[str, Any] = {
    "n": lambda n: n,
    "3n": lambda n: 3 * n,
    "n - 1": lambda n: n - 1,
    "2 - n": lambda n: 2 - n,
    "n^2": lambda n: n**2,
    "1 / n": lambda n: 1 / n,
    "0.1 n": lambda n: 0.1 * n,
    "sqrt": lambda n: np.sqrt(n),
    "1 / sqrt": lambda n: 1 / np.sqrt(n),
    "2.5 / n^2": lambda n: 2.5 / n**2,
    "n / 3 + 1": lambda n: n / 3 + 1,
    "1 / (n + 1)": lambda n: 1 / (n + 1),
    "7 / (2n - 3)": lambda n: 7 / (2 * n - 3),
    "constant": lambda n: 0.25,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_scalars_extend_to_other_sizes(name: str) -> None:
    scalar = fit_scalar([FORMULAS[name](n) for n in SIZES], SIZES)
    assert scalar is not None
    assert scalar.is_constant == (name == "constant")
    for n in (1, 2, 64, 10_007):
        assert value(scalar, n) == pytest.approx(float(FORMULAS[name](n)), rel=1e-12)


@pytest.mark.parametrize(
    "f", [np.sin, np.log, lambda n: n % 3, lambda n: n * (n + 1) / 2, lambda n: n > 6]
)
def test_other_scalars_have_no_formula(f: Any) -> None:
    assert fit_scalar([f(n) for n in SIZES], SIZES) is None


def test_written_coefficients_come_back_without_rounding() -> None:
    assert fit_scalar([1 / n for n in SIZES], SIZES) == Scalar(0, c=1.0, p=-1.0)
    assert fit_scalar([0.3 * n for n in SIZES], SIZES) == Scalar(0, c=0.3, p=1.0)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda n: np.arange(6.0), Fixed),
        (lambda n: np.full((3, 2), 1.5), Filled),
        (lambda n: np.zeros((n, 3)), Filled),
        (lambda n: np.full((2, n), 1 / n), Filled),
        (lambda n: np.broadcast_to(np.arange(3.0), (n, 3)), Repeated),
        (lambda n: np.tile([[True, False]], (n, 1)), Repeated),
        (np.arange, Affine),
        (lambda n: np.arange(n)[::-1] * 2.5, Affine),
        (lambda n: np.arange(n * 3).reshape(n, 3), Affine),
        (lambda n: np.arange(n)[:, None] + np.arange(4), Affine),
        (lambda n: np.linspace(0, 1, n), Affine),
        (np.eye, Identity),
    ],
)
def test_forms_of_arrays(make: Any, kind: type) -> None:
    assert isinstance(fit_array(arrays(make), SIZES), kind)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: np.random.default_rng(0).uniform(size=n),
        lambda n: np.arange(n) % 2,
        lambda n: np.arange(n) ** 2,
        lambda n: np.arange(n) > 2,
        lambda n: np.zeros(n + 1),
        lambda n: np.array([1.0, np.sin(n)]),
    ],
)
def test_other_arrays_have_no_formula(make: Any) -> None:
    assert fit_array(arrays(make), SIZES) is None


def test_signed_zeros_and_nans_are_told_apart() -> None:
    zeros = np.array([0.0, -0.0])
    assert isinstance(fit_array([zeros] * 3, SIZES), Fixed)
    nans = fit_array(arrays(lambda n: np.full((n, 2), np.nan)), SIZES)
    assert isinstance(nans, Filled) and nans.scalar.is_constant
