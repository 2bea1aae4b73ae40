"""Holes of NumPy's protocols: each refused at the user's line, with the cure."""

import math
from typing import Any

import numpy as np
import pytest

from chainrule.errors import TraceError
from chainrule.tracing import trace
from support.traced import line_of, refusal

X = np.ones((3, 3))
C = np.ones((3, 3))


def truth(x: Any) -> Any:
    return x if x.sum() > 0 else -x


def python_float(x: Any) -> Any:
    return math.exp(x[0, 0])


def python_int(x: Any) -> Any:
    return x * int(x[0, 0])


def count(x: Any) -> Any:
    return sum(range(np.argmax(x)))


def array_of(x: Any) -> Any:
    return np.array([x, x])


def asarray_of(x: Any) -> Any:
    return np.asarray(x)


def written(x: Any) -> Any:
    x[0] = 0
    return x


def masked(x: Any) -> Any:
    x[x > 0] = 0
    return x


def deleted(x: Any) -> Any:
    del x[0]
    return x


def into_plain(x: Any, c: Any = C) -> Any:
    c += x
    return c


def out_option(x: Any) -> Any:
    return np.add(x, 1, out=np.empty((3, 3)))


def out_of_sum(x: Any) -> Any:
    return x.sum(axis=0, out=np.empty(3))


def item(x: Any) -> Any:
    return x[0, 0].item()


def to_list(x: Any) -> Any:
    return x.tolist()


def contains(x: Any) -> Any:
    return x if 1.0 in x else -x


def formatted(x: Any) -> Any:
    return f"{x[0, 0]:.3f}"


def unknown(x: Any) -> Any:
    return np.argwhere(x > 0)


def shifted(x: Any) -> Any:
    return x << 1_000_000


def misspelt_method(x: Any) -> Any:
    return x.nonzero()


def add_at(x: Any) -> Any:
    np.add.at(x, [0], 1.0)
    return x


def item_written(x: Any) -> Any:
    C[0] = x[0]
    return C


def long_loop(x: Any) -> Any:
    return sum(np.broadcast_to(x[0, 0], (100,)))


HOLES: list[tuple[Any, str]] = [
    (truth, "np.where(condition, a, b)"),
    (python_float, "np.* functions"),
    (python_int, "astype(np.int64)"),
    (count, "static Python ints"),
    (array_of, "np.stack"),
    (asarray_of, "np.stack"),
    (written, "np.where"),
    (masked, "np.where"),
    (deleted, "np.concatenate"),
    (into_plain, "c = c + t"),
    (out_option, "make a new value"),
    (out_of_sum, "make a new value"),
    (item, "return it from the function"),
    (to_list, "return it from the function"),
    (contains, "np.any"),
    (formatted, "return it from the function"),
    (unknown, "np.where(mask, a, b)"),
    (shifted, "x * 2**k"),
    (misspelt_method, "np.nonzero"),
    (add_at, "one_hot"),
    (item_written, "np.stack"),
    (long_loop, "whole axis at once"),
]


@pytest.mark.parametrize(("f", "cure"), HOLES, ids=[f.__name__ for f, _ in HOLES])
def test_holes_are_refused_at_the_line_with_the_cure(f: Any, cure: str) -> None:
    error = refusal(f, X)
    assert isinstance(error, TraceError)
    assert cure in str(error)
    assert error.line == line_of(f)


def test_the_first_line_of_the_user_is_named_not_numpys() -> None:
    def inner(x: Any) -> Any:
        return np.linalg.eig(x)

    error = refusal(lambda x: inner(x), X)
    assert error.line == line_of(inner)
    assert "np.linalg.eig" in str(error)


def test_a_near_name_is_proposed() -> None:
    assert "did you mean" not in str(refusal(lambda x: np.unwrap(x), X))
    assert "did you mean np.nanmean?" in str(refusal(lambda x: np.nanmedian(x), X))
    assert "did you mean np.nanmax?" in str(refusal(lambda x: np.nanargmax(x), X))


def test_attributes_are_those_of_an_array() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        seen.extend(
            [x.shape, x.ndim, x.size, x.dtype, x.nbytes, x.itemsize, len(x), repr(x), f"{x}"]
        )
        assert not hasattr(x, "__array_interface__")
        assert not hasattr(x, "nonsense")
        return x.real

    trace(f, np.ones((2, 3), np.float32))
    text = "Tracer(float32[2,3])"
    assert seen == [(2, 3), 2, 6, np.float32, 24, 4, 2, text, text]


def test_a_value_that_left_its_trace_is_refused() -> None:
    kept: list[Any] = []
    trace(lambda x: kept.append(x) or x, X)  # type: ignore[func-returns-value]
    error = refusal(lambda x: x + kept[0], X)
    assert "has ended" in str(error)


def test_no_operation_outside_of_a_trace() -> None:
    kept: list[Any] = []
    trace(lambda x: kept.append(x) or x, X)  # type: ignore[func-returns-value]
    with pytest.raises(TraceError, match="inside a function that is traced"):
        kept[0] + 1
