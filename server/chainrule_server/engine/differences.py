"""Derivatives from values alone: central differences, extrapolated until rounding takes over.

    D(h) = (p(h) - p(-h)) / 2h = p'(0) + c2 h^2 + c4 h^4 + ...
    D(h, k) = (r^2k D(h/r, k-1) - D(h, k-1)) / (r^2k - 1)

Of the tableau the entry is taken that differs least from its two neighbours, rounding counted, and that
difference is how far it may be off. Large steps serve smooth functions, small ones those with kinks nearby.
A kink at the point itself is symmetric and would go unseen, so what the one-sided differences keep apart
at vanishing h counts as well; and where many kinks are near, two entries may agree by chance, so that what
the small steps scatter counts, too.

Source: C. J. F. Ridders, Accurate computation of F'(x) and F'(x)F''(x), Adv. Eng. Software 4 (1982).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


class Estimate(NamedTuple):
    """A derivative from values, an entry a function.

    Attributes:
        value: the derivative.
        uncertainty: how far it may be off.
        noise: what rounding alone may have done.
    """

    value: Array
    uncertainty: Array
    noise: Array


class Verdict(IntEnum):
    """How a derivative stands to its estimate. Numbers are those of the protocol."""

    AGREES = 1
    DIFFERS = 2
    UNCERTAIN = 3
    NOT_FINITE = 4


class Check(NamedTuple):
    """A derivative and what was found without it."""

    derivative: float
    estimate: float
    uncertainty: float
    error: float
    verdict: Verdict


def extrapolate(
    at: Array, plus: Array, minus: Array, steps: Sequence[float], eps: float, scale: Array
) -> Estimate:
    """Derivatives at 0 of several functions.

    Args:
        at: values at 0, (functions,).
        plus, minus: values at each step to either side, (steps, functions); NaN where a function isn't.
        steps: two or more, each the same fraction of the one before.
        eps: relative rounding of a value.
        scale: how large the terms are that a value is the sum of; it may be small where they aren't.
    """
    h, ratio = np.asarray(steps)[:, None], steps[0] / steps[1]
    with np.errstate(all="ignore"):
        size = np.fmax(
            np.fmax(abs(at), scale), np.fmax.reduce(np.fmax(abs(plus), abs(minus)), axis=0)
        )
        rounding = 4 * eps * size / h
        column = (plus - minus) / (2 * h)
        best, noise = column[-1].copy(), rounding[-1].copy()
        doubt, scatter = np.full(at.shape, np.inf), np.zeros(at.shape)
        for k in range(1, len(steps)):
            weight = ratio ** (2 * k)
            finer = (weight * column[1:] - column[:-1]) / (weight - 1)
            apart = np.maximum(abs(finer - column[1:]), abs(finer - column[:-1]))
            for value, far, rounded in zip(finer, apart, rounding[k:], strict=True):
                better = np.isfinite(value) & (far + rounded < doubt + noise)
                best = np.where(better, value, best)
                doubt, noise = np.where(better, far, doubt), np.where(better, rounded, noise)
            if k == 1:
                small = finer[-max(3, len(finer) // 2) :]
                scatter = np.fmax.reduce(small, axis=0) - np.fmin.reduce(small, axis=0)
            column = finer
        gaps = (plus - 2 * at + minus) / h
        kink = abs(ratio * gaps[-1] - gaps[-2])
        kink = np.where(np.isfinite(kink) & (kink > 100 * rounding[-1]), kink, 0.0)
    return Estimate(best, doubt + kink + scatter, noise)


def judge(
    derivative: float, estimate: float, uncertainty: float, noise: float, tolerance: float
) -> Check:
    """Compare a derivative with its estimate.

    Args:
        derivative: as the rules give it.
        estimate, uncertainty, noise: as found without it.
        tolerance: relative.
    """
    apart = abs(derivative - estimate)
    # Below the noise a ratio says nothing; with this size, error <= tolerance is what agrees.
    size = max(abs(derivative), abs(estimate)) + noise / tolerance
    error = apart / size if size else 0.0
    if not np.isfinite([derivative, estimate]).all():
        return Check(derivative, estimate, uncertainty, float("inf"), Verdict.NOT_FINITE)
    if apart <= tolerance * size:
        verdict = Verdict.AGREES
    else:
        verdict = Verdict.UNCERTAIN if apart <= 5 * uncertainty else Verdict.DIFFERS
    return Check(derivative, estimate, uncertainty, error, verdict)
