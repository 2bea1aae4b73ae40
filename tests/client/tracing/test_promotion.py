"""Which dtype comes out: scalars are weak, arrays are strong, the float kind wins."""

from typing import Any

import numpy as np
import pytest

from chainrule.tracing import trace

F8, F4, I8, I4, U4, U1, BOOL = (np.ones(2, d) for d in ("f8", "f4", "i8", "i4", "u4", "u1", "?"))


@pytest.mark.parametrize(
    ("a", "b", "dtype"),
    [
        (F4, F8, "float64"),
        (F4, I8, "float32"),
        (F4, BOOL, "float32"),
        (F8, I4, "float64"),
        (I4, I8, "int64"),
        (U1, I4, "int32"),
        (U4, I4, "int64"),
        (U1, U4, "uint32"),
        (BOOL, I4, "int32"),
        (F4, 2.0, "float32"),
        (F4, np.float64(2.0), "float32"),
        (F4, np.sqrt(4), "float32"),
        (F4, 2, "float32"),
        (I4, 2, "int32"),
        (U1, 2, "uint8"),
        (I4, 2.0, "float64"),
        (BOOL, 2, "int64"),
        (BOOL, 2.0, "float64"),
        (BOOL, True, "bool"),
    ],
)
def test_dtype_of_a_sum(a: Any, b: Any, dtype: str) -> None:
    def dtype_of(f: Any, *args: Any) -> str:
        return trace(f, *args).out_avals["out"].dtype.label

    if isinstance(b, np.ndarray):
        assert dtype_of(lambda a, b: a + b, a, b) == dtype
        assert dtype_of(lambda a, b: b + a, a, b) == dtype
        assert dtype_of(lambda a: a + b, a) == dtype
    else:
        assert dtype_of(lambda a: a + b, a) == dtype
        assert dtype_of(lambda a: b + a, a) == dtype
        assert dtype_of(lambda a: np.where(a == 1, a, b), a) == dtype


@pytest.mark.parametrize(
    ("f", "x", "dtype"),
    [
        (lambda x: x / x, I4, "float64"),
        (lambda x: x / 2, I8, "float64"),
        (lambda x: np.exp(x), I8, "float64"),
        (lambda x: np.mean(x), I8, "float64"),
        (lambda x: np.mean(x) / len(x), F4, "float32"),
        (lambda x: np.sum(x), I4, "int64"),
        (lambda x: x**2, F4, "float32"),
        (lambda x: (x > 0) * 0.5 * x, F4, "float32"),
        (lambda x: np.where(x > 0, 1.0, 0.0) * x, F4, "float32"),
        (lambda x: np.where(x > 0, 1, 0), F4, "int64"),
        (lambda x: x @ np.ones((2, 3), np.float32), F4, "float32"),
        (lambda x: x.astype(np.float32) * 3, F8, "float32"),
        (lambda x: 1.5, F4, "float64"),
        (lambda x: np.sqrt(np.var(x) + 1e-5), F4, "float32"),
    ],
)
def test_dtype_of_common_code(f: Any, x: Any, dtype: str) -> None:
    assert trace(f, x).out_avals["out"].dtype.label == dtype


def test_a_captured_float64_array_promotes_with_a_notice_naming_the_line() -> None:
    scale = np.array([1.0, 2.0])

    def f(x: Any) -> Any:
        return x * scale + x * scale

    graph = trace(f, F4)
    assert graph.out_avals["out"].dtype.label == "float64"
    (notice,) = graph.notices
    assert notice.kind == "PROMOTED"
    assert notice.line == f"test_promotion.py:{f.__code__.co_firstlineno + 1}"
    assert "astype(np.float32)" in notice.text


def test_float64_inputs_and_scalars_give_no_notice() -> None:
    assert not trace(lambda x, y: x * y, F4, F8).notices
    assert not trace(lambda x: x * 2.0 + np.float64(3), F4).notices


def test_float16_arguments_are_computed_in_float32() -> None:
    graph = trace(lambda x: x * 2, np.ones(3, np.float16))
    assert graph.in_avals["args/0"].dtype.label == "float16"
    assert graph.out_avals["out"].dtype.label == "float32"
