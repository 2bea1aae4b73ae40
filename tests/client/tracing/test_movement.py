"""Functions that move elements, traced, equal NumPy's."""

from typing import Any

import numpy as np
import pytest

from chainrule.tracing import trace
from support.evaluator import run
from support.traced import assert_same, numbers, refusal, rows

X = numbers(2, 3, 4)
M = numbers(3, 4, seed="m")
V = numbers(5)


@rows(
    ("reshape", lambda x: np.reshape(x, (4, 6)), (X,)),
    ("reshape method", lambda x: x.reshape(4, -1), (X,)),
    ("reshape tuple", lambda x: x.reshape((-1,)), (X,)),
    ("reshape newshape", lambda x: x.reshape(x.shape[0], -1), (X,)),
    ("ravel", lambda x: (x.ravel(), np.ravel(x), x.flatten()), (X,)),
    ("squeeze", lambda x: np.squeeze(x[:, None, :1]), (M,)),
    ("squeeze axis", lambda x: x[:, :1].squeeze(1), (M,)),
    ("expand_dims", lambda x: np.expand_dims(x, (0, -1)), (M,)),
    (
        "transpose",
        lambda x: (x.T, np.transpose(x), x.transpose(1, 0, 2), x.transpose((2, 0, 1))),
        (X,),
    ),
    ("swapaxes", lambda x: (np.swapaxes(x, 0, -1), x.swapaxes(1, 2)), (X,)),
    ("moveaxis", lambda x: np.moveaxis(x, (0, 1), (-1, 0)), (X,)),
    ("broadcast_to", lambda x: np.broadcast_to(x, (3, 2, 5)), (numbers(2, 1),)),
    ("broadcast_arrays", lambda x, y: tuple(np.broadcast_arrays(x, y)), (M, numbers(4))),
    ("concatenate", lambda x, y: np.concatenate([x, y, x], axis=1), (M, M * 2)),
    ("concatenate captured", lambda x: np.concatenate([x, np.ones((3, 1))], -1), (M,)),
    ("concatenate flat", lambda x: np.concatenate([x, x], axis=None), (M,)),
    ("append", lambda x: np.append(x, x[:1], 0), (M,)),
    ("stack", lambda x: (np.stack([x, x * 2]), np.stack([x, x], axis=-1)), (M,)),
    ("vstack", lambda x, y: np.vstack([x, y]), (M, numbers(4))),
    ("hstack", lambda x: (np.hstack([x, x]), np.hstack([x[0], x[1]])), (M,)),
    ("dstack", lambda x: np.dstack([x, x]), (M,)),
    ("column_stack", lambda x: np.column_stack([x, x]), (V,)),
    ("atleast", lambda x: (np.atleast_1d(x[0]), np.atleast_2d(x), np.atleast_3d(x)), (V,)),
    ("split", lambda x: np.split(x, 2, axis=1), (M,)),
    ("split at", lambda x: np.split(x, [1, 3], axis=1), (M,)),
    ("array_split", lambda x: np.array_split(x, 3), (V,)),
    ("hsplit", lambda x: np.hsplit(x, 2), (M,)),
    ("vsplit", lambda x: np.vsplit(x, 3), (M,)),
    ("flip", lambda x: (np.flip(x), np.flip(x, 0), np.flipud(x), np.fliplr(x)), (M,)),
    ("roll", lambda x: (np.roll(x, 2), np.roll(x, -1, 0), np.roll(x, (1, 2), (0, 1))), (M,)),
    ("repeat", lambda x: (np.repeat(x, 2), x.repeat(3, axis=0)), (M,)),
    ("tile", lambda x: (np.tile(x, 2), np.tile(x, (2, 1)), np.tile(x, (2, 3, 1))), (M,)),
    ("pad", lambda x: np.pad(x, 1), (M,)),
    ("pad pairs", lambda x: np.pad(x, ((1, 0), (2, 3))), (M,)),
    (
        "pad by place",
        lambda x: [
            np.pad(x, ((2, 1), (0, 3)), m) for m in ("edge", "reflect", "symmetric", "wrap")
        ],
        (numbers(4, 5),),
    ),
    ("pad value", lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.5), (M,)),
)
def test_traced_equals_numpy(f: Any, args: Any) -> None:
    assert_same(f, *args)


def test_the_matrix_transpose() -> None:
    np.testing.assert_array_equal(run(trace(lambda x: x.mT, X), X), X.swapaxes(-1, -2))


@pytest.mark.parametrize(
    ("f", "cure"),
    [
        (lambda x: x.reshape(5, 3), "equal size"),
        (lambda x: np.split(x, 3, axis=1), "np.array_split"),
        (lambda x: np.pad(x, 1, mode="linear_ramp"), "edge, reflect"),
        (lambda x: np.squeeze(x, 0), "length 1"),
        (lambda x: np.repeat(x, [1, 2, 3], axis=0), "index with an int array"),
        (lambda x: np.reshape(x, -1, order="F"), "transpose first"),
    ],
)
def test_what_has_no_graph_is_refused_with_its_cure(f: Any, cure: str) -> None:
    assert cure in str(refusal(f, M))


def test_an_unknown_shape_is_refused_at_the_line() -> None:
    error = refusal(lambda x: x @ x, M)
    assert "inner axes 4 and 3 differ" in str(error)
    assert error.line is not None and error.line.startswith("test_movement.py:")
