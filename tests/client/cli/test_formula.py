"""Formulas are read, never executed."""

from typing import Any

import numpy as np
import pytest

from chainrule.cli.formula import parse_formula
from chainrule.errors import TraceError


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("sin((2x + 1)^2)", {"x": 0.5}, np.sin(4.0)),
        ("-x**2 + 3(y - 1)/2", {"x": 2.0, "y": 5.0}, 2.0),
        ("exp(-x) * pi", {"x": 1.0}, np.exp(-1.0) * np.pi),
        ("max(a, b) + 1e-3", {"a": 1.0, "b": 2.0}, 2.001),
        ("x1 * x2", {"x1": 2.0, "x2": 4.0}, 8.0),
    ],
)
def test_a_formula_is_its_function(text: str, values: dict[str, float], expected: Any) -> None:
    formula, names = parse_formula(text)
    assert set(names) == set(values)
    np.testing.assert_allclose(formula(*(values[n] for n in names)), expected)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("__import__('os')", "function '__import__' is unknown"),
        ("x.real", "'x.real' is no arithmetic"),
        ("(lambda: 1)()", "is no arithmetic"),
        ("'a' * 3", "'a' is no number"),
        ("x if x else 1", "is no arithmetic"),
        ("[1, 2]", "is no arithmetic"),
        ("sin(x", "is no formula; write it as"),
        ("tahn(x)", "did you mean tanh?"),
        ("x" * 2_000, "a formula of 2000 characters"),
        ("True + x", "True is no number"),
    ],
)
def test_what_is_no_arithmetic_is_refused(text: str, told: str) -> None:
    with pytest.raises(TraceError) as caught:
        parse_formula(text)[0](1.0)
    assert told in str(caught.value)
