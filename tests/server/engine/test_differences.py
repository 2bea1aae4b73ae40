"""Derivatives from values: accurate where there is one, and doubtful where there is none."""

from collections.abc import Callable

import numpy as np
import pytest

from chainrule_server.engine.differences import Estimate, Verdict, extrapolate, judge

STEPS = [2.0**-k for k in range(4, 21, 2)]
EPS = np.finfo(np.float64).eps


def estimate(p: Callable[[float], float]) -> Estimate:
    plus = np.array([[p(h)] for h in STEPS])
    minus = np.array([[p(-h)] for h in STEPS])
    return extrapolate(np.array([p(0.0)]), plus, minus, STEPS, EPS, np.zeros(1))


def first(found: Estimate) -> tuple[float, float, float]:
    """Value, uncertainty and noise of the one function."""
    return float(found.value[0]), float(found.uncertainty[0]), float(found.noise[0])


@pytest.mark.parametrize(
    ("p", "slope"),
    [
        (lambda h: np.exp(3 * h), 3.0),
        (lambda h: np.sin(1 + h) * 1e6, 1e6 * np.cos(1)),
        (lambda h: 1 / (0.2 + h), -25.0),
        (lambda h: 5.0, 0.0),
        (lambda h: (1 + h) ** 3, 3.0),
    ],
)
def test_a_smooth_function_is_met_to_nine_digits(p: Callable[[float], float], slope: float) -> None:
    found = estimate(p)
    assert abs(found.value[0] - slope) <= 1e-9 * abs(slope) + found.noise[0]
    check = judge(slope, *first(found), 1e-8)
    assert check.verdict is Verdict.AGREES


def test_a_wrong_derivative_differs() -> None:
    found = estimate(lambda h: np.exp(3 * h))
    check = judge(3.001, *first(found), 1e-6)
    assert check.verdict is Verdict.DIFFERS
    assert check.error == pytest.approx(0.001 / 3.001, rel=1e-3)


@pytest.mark.parametrize("p", [lambda h: max(h, 0.0), lambda h: abs(h) + 1, lambda h: float(h > 0)])
def test_a_kink_and_a_step_are_doubtful(p: Callable[[float], float]) -> None:
    found = estimate(p)
    check = judge(0.3, *first(found), 1e-6)
    assert check.verdict is Verdict.UNCERTAIN


def test_steps_outside_of_the_domain_are_left_out() -> None:
    with np.errstate(invalid="ignore"):
        found = estimate(lambda h: float(np.sqrt(0.01 + h)))
    assert found.value[0] == pytest.approx(5.0, rel=1e-6)


def test_what_is_not_finite_is_said_so() -> None:
    assert judge(float("nan"), 1.0, 0.0, 0.0, 1e-6).verdict is Verdict.NOT_FINITE
    assert judge(0.0, 0.0, 0.0, 0.0, 1e-6).error == 0.0
