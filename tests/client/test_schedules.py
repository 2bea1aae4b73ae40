"""Schedules: values at their corners, equal on plain and traced steps."""

from typing import Any

import numpy as np
import pytest

from chainrule import schedules
from chainrule.tracing import trace
from support.evaluator import run

SCHEDULES = {
    "constant": (schedules.constant(0.1), {0: 0.1, 99: 0.1}),
    "linear": (schedules.linear(1.0, 0.0, 10), {0: 1.0, 5: 0.5, 10: 0.0, 50: 0.0}),
    "cosine": (schedules.cosine(1.0, 10, 0.2), {0: 1.0, 5: 0.6, 10: 0.2, 50: 0.2}),
    "warmup": (schedules.warmup(0.5, 4), {0: 0.125, 3: 0.5, 9: 0.5}),
    "warmup of a schedule": (
        schedules.warmup(schedules.linear(1.0, 0.0, 10), 4),
        {0: 0.25, 3: 0.7, 5: 0.5},
    ),
    "warmup_cosine": (
        schedules.warmup_cosine(1.0, 4, 14),
        {0: 0.0, 2: 0.5, 4: 1.0, 9: 0.5, 14: 0.0},
    ),
    "exponential": (schedules.exponential(1.0, 0.5, 10), {0: 1.0, 10: 0.5, 20: 0.25}),
    "piecewise_constant": (
        schedules.piecewise_constant((1.0, 0.1, 0.01), (3, 6)),
        {0: 1.0, 2: 1.0, 3: 0.1, 5: 0.1, 6: 0.01},
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_values_at_the_corners(name: str) -> None:
    schedule, corners = SCHEDULES[name]
    for step, value in corners.items():
        assert float(schedule(step)) == pytest.approx(value, abs=1e-15)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_traced_step_gives_the_same_numbers(name: str) -> None:
    schedule, _ = SCHEDULES[name]
    graph = trace(schedule, np.int64(0))
    for step in (0, 1, 3, 7, 12, 40):
        traced: Any = run(graph, np.int64(step))
        assert traced.shape == () and traced.dtype == np.float64
        assert float(traced) == pytest.approx(float(schedule(step)), rel=1e-14)


def test_piecewise_constant_wants_one_value_more_than_boundaries() -> None:
    with pytest.raises(ValueError, match="give one more"):
        schedules.piecewise_constant((1.0,), (3,))
