"""Indices are checked, also negative ones; rows are added in a fixed order."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainrule.errors import ErrorCode, NumericError
from chainrule_server.engine.ops import OPS
from support import references
from support.op_checks import Array, apply_kernel
from support.op_row import Attrs

GATHER: dict[str, Any] = {"axis": 0, "batch_dims": 0}
SCATTER: dict[str, Any] = {"axis": 0, "batch_dims": 0, "size": (4,)}


@pytest.mark.parametrize("bad", [4, -1, 2**62, -(2**62)])
@pytest.mark.parametrize("lead", [0, 1])
def test_an_index_outside_its_axis_is_refused_with_both_numbers(bad: int, lead: int) -> None:
    index = np.array([[0, 3], [bad, 1]])
    attrs: Attrs = {"axis": lead, "batch_dims": lead}
    table = np.ones((2, 4)) if lead else np.ones(4)
    calls: tuple[tuple[str, list[Array], Attrs, Array], ...] = (
        ("Gather", [table, index], attrs, np.empty((2, 2))),
        ("ScatterAdd", [index, np.ones((2, 2))], {**attrs, "size": (4,)}, np.empty(table.shape)),
    )
    for op, arrays, given_attrs, out in calls:
        with pytest.raises(NumericError, match=f"index {bad} is outside the 4 rows") as caught:
            apply_kernel(op, arrays, {**given_attrs}, out)
        assert caught.value.code is ErrorCode.INDEX_RANGE
        assert caught.value.facts == {"index": bad, "size": 4}


def test_indices_are_checked_at_every_run() -> None:
    index = np.array([0, 1])
    bind = OPS["Gather"].bind
    assert bind is not None
    run = bind((np.arange(3.0), index), np.empty(2), GATHER)
    run()
    index[0] = 3
    with pytest.raises(NumericError):
        run()


def test_an_index_into_nothing_is_refused_and_no_index_is_not() -> None:
    with pytest.raises(NumericError, match="the axis is empty"):
        apply_kernel("Gather", [np.ones((0, 2)), np.array([0])], {**GATHER}, np.empty((1, 2)))
    none = np.empty(0, np.int64)
    assert apply_kernel("Gather", [np.ones((0, 2)), none], {**GATHER}, np.empty((0, 2))).size == 0


def test_rows_of_width_zero_are_checked_too() -> None:
    with pytest.raises(NumericError):
        apply_kernel("Gather", [np.ones((3, 0)), np.array([3])], {**GATHER}, np.empty((1, 0)))
    with pytest.raises(NumericError):
        attrs = {**SCATTER, "size": (3,)}
        apply_kernel("ScatterAdd", [np.array([3]), np.ones((1, 0))], attrs, np.empty((3, 0)))


def test_equal_indices_add_in_the_order_of_the_updates() -> None:
    """Floating-point sums depend on order; this one is fixed, chunk borders included."""
    rng = np.random.default_rng(11)
    index = rng.integers(0, 4, 5000)
    updates = (rng.standard_normal((5000, 3)) * 10.0 ** rng.integers(-6, 6, (5000, 1))).astype(
        np.float32
    )
    expected = np.zeros((4, 3), np.float32)
    for i, row in zip(index, updates, strict=True):
        expected[i] += row
    found = apply_kernel("ScatterAdd", [index, updates], {**SCATTER}, np.empty((4, 3), np.float32))
    assert found.tobytes() == expected.tobytes()


@given(st.data())
def test_gather_and_scatter_are_the_loops_and_each_others_transpose(data: st.DataObject) -> None:
    axes = st.lists(st.integers(1, 3), max_size=2)
    lead, before, behind, picked = (
        tuple(data.draw(axes.filter(lambda s: len(s) < 3))) for _ in range(4)
    )
    d = data.draw(st.integers(1, 4))
    table_shape, index_shape = (*lead, *before, d, *behind), (*lead, *picked)
    if len(table_shape) > 6:
        return
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    table = rng.integers(-9, 9, table_shape).astype(float)
    index = rng.integers(0, d, index_shape)
    axis = len(lead) + len(before)
    attrs: dict[str, Any] = {"axis": axis, "batch_dims": len(lead)}
    expected = references.gather(table, index, **attrs)
    rows = apply_kernel("Gather", [table, index], attrs, np.empty(expected.shape))
    np.testing.assert_array_equal(rows, expected)
    ct = rng.integers(-9, 9, expected.shape).astype(float)
    sized = {**attrs, "size": (d,)}
    table_ct = apply_kernel("ScatterAdd", [index, ct], sized, np.full(table_shape, np.nan))
    np.testing.assert_array_equal(table_ct, references.scatter_add(index, ct, **sized))
    assert np.vdot(ct, rows) == np.vdot(table_ct, table)
