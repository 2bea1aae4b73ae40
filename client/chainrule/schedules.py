"""Learning rates as functions of the step: NumPy code that runs on plain and traced steps.

`step` counts the updates made before this one, from 0.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "linear",
    "piecewise_constant",
    "warmup",
    "warmup_cosine",
]

Schedule = Callable[[Any], Any]


def constant(value: float) -> Schedule:
    """The same value at every step."""

    def at(step: Any) -> Any:
        return value + 0.0 * step

    return at


def linear(start: float, end: float, steps: int) -> Schedule:
    """From start to end in a straight line over `steps`, then end."""

    def at(step: Any) -> Any:
        return start + (end - start) * (np.minimum(step, steps) / steps)

    return at


def cosine(value: float, steps: int, final: float = 0.0) -> Schedule:
    """final + (value - final) (1 + cos(pi t)) / 2, t = min(step, steps) / steps.

    Source: Loshchilov, Hutter 2016, arXiv:1608.03983, equation 5, without restarts.
    """

    def at(step: Any) -> Any:
        t = np.minimum(step, steps) / steps
        return final + (value - final) * 0.5 * (1.0 + np.cos(np.pi * t))

    return at


def warmup(schedule: Schedule | float, steps: int) -> Schedule:
    """(step + 1) / steps of the schedule's value for the first `steps`, then all of it.

    The schedule sees the step as it is, the warm-up included.
    """
    after = schedule if callable(schedule) else constant(schedule)

    def at(step: Any) -> Any:
        return after(step) * np.minimum((step + 1) / steps, 1.0)

    return at


def warmup_cosine(
    peak: float, warmup_steps: int, total_steps: int, start: float = 0.0, final: float = 0.0
) -> Schedule:
    """A line from start to peak over warmup_steps, then a cosine to final at total_steps."""
    rise = linear(start, peak, warmup_steps)
    fall = cosine(peak, total_steps - warmup_steps, final)

    def at(step: Any) -> Any:
        return np.where(step < warmup_steps, rise(step), fall(np.maximum(step - warmup_steps, 0)))

    return at


def exponential(value: float, decay: float, steps: int = 1) -> Schedule:
    """value * decay^(step / steps)."""

    def at(step: Any) -> Any:
        return value * np.exp(np.log(decay) * (step / steps))

    return at


def piecewise_constant(values: tuple[float, ...], boundaries: tuple[int, ...]) -> Schedule:
    """values[i] from boundaries[i - 1] on: one value more than boundaries."""
    if len(values) != len(boundaries) + 1:
        raise ValueError(f"{len(values)} values for {len(boundaries)} boundaries: give one more")

    def at(step: Any) -> Any:
        rate: Any = values[0] + 0.0 * step
        for value, boundary in zip(values[1:], boundaries, strict=True):
            rate = np.where(step >= boundary, value, rate)
        return rate

    return at
