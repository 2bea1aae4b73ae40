"""Reductions: dtypes kept, NaN seen, nothing out of nothing refused, ties shared."""

import numpy as np
import pytest

from chainrule.errors import ErrorCode, ShapeMismatch
from chainrule_server.engine.ops import OPS
from support.op_checks import apply_kernel, avals_of, node, reverse, run
from support.op_row import Attrs


def test_a_sum_keeps_its_dtype_and_wraps_like_it() -> None:
    x = np.full(3, 2**31 - 1, np.int32)
    attrs: Attrs = {"axes": (0,), "keepdims": False}
    found = apply_kernel("ReduceSum", [x], attrs, np.empty((), np.int32))
    assert int(found) == (3 * (2**31 - 1) + 2**31) % 2**32 - 2**31


@pytest.mark.parametrize("op", ["ReduceMax", "ArgMax"])
def test_the_maximum_of_nothing_is_refused(op: str) -> None:
    attrs: Attrs = {"axis": 0} if op == "ArgMax" else {"axes": (0,), "keepdims": False}
    bind = OPS[op].bind
    assert bind is not None
    dtype = np.int64 if op == "ArgMax" else np.float64
    with pytest.raises(ShapeMismatch, match="empty axis") as caught:
        bind((np.empty((0, 3)),), np.empty(3, dtype), attrs)
    assert caught.value.code is ErrorCode.EMPTY_REDUCTION


def test_a_nan_is_the_maximum() -> None:
    x = np.array([[1.0, np.nan, 2.0], [3.0, 4.0, 5.0]])
    found = apply_kernel("ReduceMax", [x], {"axes": (1,), "keepdims": False}, np.empty(2))
    np.testing.assert_array_equal(found, [np.nan, 5.0])
    index = apply_kernel("ArgMax", [x], {"axis": 1}, np.empty(2, np.int64))
    assert index.tolist() == [1, 2]


def test_an_argmax_takes_the_first_of_equals() -> None:
    x = np.array([1.0, 3.0, 3.0, 3.0])
    assert int(apply_kernel("ArgMax", [x], {"axis": 0}, np.empty((), np.int64))) == 1


def test_ties_share_the_cotangent_equally() -> None:
    x = np.array([[3.0, 1.0, 3.0, 3.0], [0.0, 0.0, -1.0, -2.0]])
    flat = node("ReduceMax", avals_of([x]), {"axes": (1,), "keepdims": False})
    (x_ct,) = run(reverse(flat, (0,)), [x, np.array([6.0, 1.0])])
    assert x_ct.tolist() == [[2.0, 0.0, 2.0, 2.0], [0.5, 0.5, 0.0, 0.0]]


def test_rows_and_columns_sum_the_same_in_every_layout_of_equal_strides() -> None:
    """The order of a sum is a function of shape and strides: two runs give the same bits."""
    x = np.random.default_rng(3).standard_normal((257, 129)).astype(np.float32)
    for axes in ((0,), (1,), (0, 1)):
        attrs: Attrs = {"axes": axes, "keepdims": True}
        shape = tuple(1 if a in axes else d for a, d in enumerate(x.shape))
        runs = {
            apply_kernel("ReduceSum", [x.copy()], attrs, np.empty(shape, np.float32)).tobytes()
            for _ in range(3)
        }
        assert len(runs) == 1
