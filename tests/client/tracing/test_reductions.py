"""Reductions traced equal NumPy's, for every axis and with keepdims."""

from typing import Any

import numpy as np
import pytest

from support.traced import assert_same, numbers, refusal, rows

X = numbers(2, 3, 4)
I = np.array([[3, -4, 0], [7, 2, -1]])  # noqa: E741 - an integer array
B = I > 0
U = np.array([[3, 200], [7, 2]], np.uint8)
W = np.abs(numbers(2, 3, 4, seed="w"))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (1,)])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(
    "name", ["sum", "mean", "max", "min", "var", "std", "any", "all", "prod", "ptp"]
)
def test_axis_and_keepdims(name: str, keepdims: bool, axis: Any) -> None:
    f = getattr(np, name)
    if name == "ptp" and isinstance(axis, tuple):
        axis = axis[0]
    assert_same(lambda x: f(x, axis=axis, keepdims=keepdims), X, rtol=1e-11)


@rows(
    (
        "methods",
        lambda x: (x.sum(), x.mean(0), x.max(-1), x.min(), x.var(0), x.std(), x.prod(0)),
        (X,),
    ),
    ("any all", lambda b: (b.any(), b.all(0), np.any(b, 1)), (B,)),
    ("max of bools", lambda b: (np.max(b, 0), np.min(b, 0)), (B,)),
    ("sum of ints", lambda i: (i.sum(), i.mean(), i.max(0), i.min(1), i.prod()), (I,)),
    ("min of unsigned", lambda u: (np.min(u), np.max(u, 0)), (U,)),
    ("sum of bools", lambda b: (b.sum(0), b.mean()), (B,)),
    ("sum of int32", lambda i: i.sum(), (I.astype(np.int32),)),
    ("sum dtype", lambda i: np.sum(i, dtype=np.float64), (I,)),
    ("sum initial", lambda x: np.sum(x, initial=3.0), (X,)),
    ("sum where", lambda x: np.sum(x, axis=0, where=x > 0), (X,)),
    ("mean where", lambda x: np.mean(x, where=x > 0), (X,)),
    ("max where", lambda x: np.max(x, axis=0, where=x < 1, initial=-9.0), (X,)),
    ("max initial", lambda x: (np.max(x, 0, initial=0.5), np.min(x, 0, initial=0.5)), (X,)),
    ("var ddof", lambda x: (np.var(x, ddof=1), x.std(0, ddof=1)), (X,)),
    ("average", lambda x: np.average(x, axis=1), (X,)),
    ("average weights", lambda x, w: np.average(x, axis=1, weights=w), (X, W)),
    ("average vector", lambda x: np.average(x, axis=1, weights=[1.0, 2.0, 3.0]), (X,)),
    ("count_nonzero", lambda i: np.count_nonzero(i), (I,)),
    ("argmax", lambda x: (np.argmax(x), x.argmax(1), np.argmin(x, -1)), (X,)),
    (
        "argmax keepdims",
        lambda x: (np.argmax(x, 1, keepdims=True), np.argmax(x, keepdims=True)),
        (X,),
    ),
    ("norm", lambda x: (np.linalg.norm(x), np.linalg.norm(x, axis=-1, keepdims=True)), (X,)),
    ("norms", lambda x: tuple(np.linalg.norm(x, o, axis=1) for o in (1, 2, np.inf)), (X,)),
    ("reduce", lambda x: (np.add.reduce(x), np.maximum.reduce(x, 1), np.multiply.reduce(x)), (X,)),
    ("logical reduce", lambda b: (np.logical_or.reduce(b), np.logical_and.reduce(b, 1)), (B,)),
    ("diff", lambda x: (np.diff(x), np.diff(x, 2, axis=1)), (X,)),
    ("no axes", lambda x: np.sum(x, axis=()), (X,)),
)
def test_traced_equals_numpy(f: Any, args: Any) -> None:
    assert_same(f, *args)


@pytest.mark.parametrize(
    ("f", "cure"),
    [
        (lambda x: np.nancumsum(x), "did you mean np."),
        (lambda x: np.max(x[:0]), "has no value"),
        (lambda x: np.linalg.norm(x[0], 7), "use 1, 2, inf"),
        (lambda x: np.add.accumulate(x), "whole-array"),
        (lambda x: np.max(x, where=x > 0), "initial="),
        (lambda x: np.sum(x, axis=7), "give an axis"),
    ],
)
def test_what_has_no_graph_is_refused_with_its_cure(f: Any, cure: str) -> None:
    assert cure in str(refusal(f, X))
