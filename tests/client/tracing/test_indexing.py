"""Indexing traced equals NumPy's: every kind of index, alone and mixed."""

from typing import Any

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from chainrule.tracing import asarray, trace
from support.evaluator import run
from support.traced import assert_same, numbers, refusal, rows

X = numbers(4, 5, 6)
M = numbers(4, 5, seed="m")
ROWS = np.array([3, 0, -1, 2])
COLS = np.array([4, 4, 0, -5])


@rows(
    ("int", lambda x: (x[0], x[-1], x[1, 2, 3], x[..., 2]), (X,)),
    ("slice", lambda x: (x[1:], x[:-1, ::2], x[1:3, 1:1], x[-3:-1]), (X,)),
    ("negative step", lambda x: (x[::-1], x[3:0:-2], x[:, ::-3], x[1:3:-1], x[-1:-4:-1]), (X,)),
    ("beyond", lambda x: (x[:99], x[99:], x[-99:2]), (X,)),
    ("new axes", lambda x: (x[None], x[:, None, 1], x[..., None], x[None, ..., 0, None]), (X,)),
    ("array", lambda x: (x[ROWS], x[:, COLS], x[..., ROWS]), (X,)),
    ("matrix of indices", lambda x: x[ROWS.reshape(2, 2)], (X,)),
    ("list", lambda x: x[[0, 2, 2]], (X,)),
    ("pairs", lambda x: x[ROWS, COLS], (X,)),
    ("outer pairs", lambda x: x[ROWS[:, None], COLS], (X,)),
    ("three arrays", lambda x: x[ROWS, COLS, ROWS], (X,)),
    ("apart", lambda x: x[ROWS, :, COLS], (X,)),
    ("apart by a new axis", lambda x: x[ROWS, None, COLS], (X,)),
    ("int and array", lambda x: (x[0, ROWS], x[ROWS, 0], x[0, :, ROWS], x[:, 1, ROWS]), (X,)),
    ("slice and array", lambda x: (x[1:3, COLS], x[::-1, ROWS, 1:3]), (X,)),
    ("static mask", lambda x: (x[M > 0], x[:, np.array([True, False, True, False, True])]), (X,)),
    ("rows by arange", lambda x: x[np.arange(4), COLS], (M,)),
    ("two aranges", lambda x: x[np.arange(4)[:, None], np.arange(5)[None, :], [[0]] * 4], (X,)),
    ("whole by arange", lambda x: x[np.arange(4)], (M,)),
    ("diagonal", lambda x: x[np.arange(4), np.arange(4)], (M,)),
    ("empty index", lambda x: x[[]], (M,)),
    ("take", lambda x: (np.take(x, ROWS, 0), np.take(x, 3), x.take(COLS, axis=1)), (X,)),
    ("negative", lambda x, i: x[i], (M, np.array([-1, 0, -4]))),
    ("traced", lambda x, i: (x[i], x[:, i], x[i, i], x[i][:, i]), (M, np.array([0, 3, -1]))),
    ("traced scalar", lambda x, i: (x[i], x[1:, i]), (M, np.array(2))),
    ("traced int32", lambda x, i: x[i], (M, np.array([1, 2], np.int32))),
    ("traced unsigned", lambda x, i: x[i], (M, np.array([1, 2], np.uint8))),
    ("traced and arange", lambda x, i: x[np.arange(4), i], (M, COLS)),
    ("traced beyond slice", lambda x, i: x[1:, i % 3], (X, np.array([[1, 2], [5, 7]]))),
    ("argmax", lambda x: x[np.arange(4), np.argmax(x, 1)], (M,)),
    ("take_along_axis", lambda x: np.take_along_axis(x, np.argmax(x, 1)[:, None], 1), (M,)),
    ("take_along 0", lambda x, i: np.take_along_axis(x, i, 0), (M, np.array([[0, 1, 2, 3, -1]]))),
    ("unpacked", lambda x: _unpacked(x), (M,)),
)
def test_traced_equals_numpy(f: Any, args: Any) -> None:
    assert_same(f, *args)


def _unpacked(x: Any) -> Any:
    a, b, c, d = x
    return a + b * c - d


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_basic_indices_equal_numpy(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    x = np.arange(float(np.prod(shape))).reshape(shape)
    assert_same(lambda x: x[index], x)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_integer_array_indices_equal_numpy(data: Any) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    arrays = data.draw(hnp.integer_array_indices(shape, dtype=np.dtype(np.int64)))
    full = data.draw(st.booleans())
    index = (*arrays[:-1], slice(None)) if full and len(arrays) > 1 else arrays
    x = np.arange(float(np.prod(shape))).reshape(shape)
    assert_same(lambda x: x[index], x)


@settings(max_examples=100, deadline=None)
@given(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4))
def test_broadcasting_equals_numpy(shapes: Any) -> None:
    a, b, c = (numbers(*s, seed=str(i)) for i, s in enumerate(shapes.input_shapes))
    assert_same(lambda a, b, c: np.where(a > b, a * c, b - c), a, b, c)


def test_a_captured_table_is_indexed_through_asarray() -> None:
    table = numbers(50, 7)
    ids = np.array([[3, 49], [0, 3]])
    graph = trace(lambda i: asarray(table)[i], ids)
    np.testing.assert_array_equal(run(graph, ids), table[ids])
    assert [op for op in graph.graph.main.ops if op == "Gather"] == ["Gather"]


def test_rows_by_arange_gather_within_each_example() -> None:
    graph = trace(lambda x, y: x[np.arange(len(x)), y], M, COLS)
    row = next(node for node in graph.graph.main if node.op == "Gather")
    assert dict(row.attrs) == {"axis": 1, "batch_dims": 1}


def _slice_by_traced(x: Any, i: Any) -> Any:
    return x[:i]


@pytest.mark.parametrize(
    ("f", "cure"),
    [
        (lambda x, i: x[x > 0], "np.where(mask, a, 0)"),
        (_slice_by_traced, "fixed length"),
        (lambda x, i: x[x], "astype(np.int64)"),
        (lambda x, i: x[7], "from -4 to 3"),
        (lambda x, i: x[[0, 9]], "from -4 to 3"),
        (lambda x, i: x[0, 0, 0], "one index an axis"),
        (lambda x, i: x[True], "np.where"),
        (lambda x, i: M[i], "cr.asarray(table)[y]"),
        (lambda x, i: np.eye(5)[i], "cr.nn.one_hot"),
        (lambda x, i: np.take(M, i), "cr.asarray(table)[y]"),
        (lambda x, i: np.take(x, i, mode="wrap"), "np.clip"),
        (lambda x, i: x[[i, 1]], "np.stack"),
    ],
)
def test_what_has_no_graph_is_refused_with_its_cure(f: Any, cure: str) -> None:
    error = refusal(f, M, np.array(1))
    assert cure in str(error)
    assert error.line is not None and error.line.startswith("test_indexing.py:")
