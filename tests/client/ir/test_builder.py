"""Rows under construction: inferred, checked, and one row for equal nodes."""

from typing import Any

import numpy as np
import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim, DType, Shape
from chainrule.ir.builder import Builder, constant_array
from chainrule.ir.expr import sin
from chainrule.ir.limits import MAX_CONSTANT_BYTES
from support.written import N, f4, f8, function


def test_equal_nodes_are_one_row() -> None:
    b = Builder()
    x, y = b.input("x", f8(2)), b.input("y", f8(2))
    assert b.add("Sin", x) == b.add("Sin", x)
    assert b.add("Sin", x) != b.add("Sin", y)
    assert b.add("Add", x, y) != b.add("Add", y, x)
    assert b.add("ReduceSum", x, axes=(0,)) == b.add("ReduceSum", x, keepdims=False, axes=(0,))
    assert b.add("ReduceSum", x, axes=(0,)) != b.add("ReduceSum", x, axes=(0,), keepdims=True)
    assert len(b) == 8


def test_random_draws_differ_by_their_stream() -> None:
    b = Builder()
    key, counter = b.input("$key", Aval(DType.UINT32, (2,))), b.input("c", Aval(DType.INT64, (3,)))
    first = b.add("RandomBits", key, counter, stream=0)
    assert b.add("RandomBits", key, counter, stream=1) != first
    assert b.add("RandomBits", key, counter) == first


def test_all_outputs_of_a_node_are_rows() -> None:
    f = function({"x": f8(2)}, lambda x: {"a": sin(x), "b": x, "c": x * 2.0})
    b = Builder((f,))
    x = b.input("x", f8(2))
    rows = b.add_multi("Call", x, function=0)
    assert rows == b.add_multi("Call", x, function=0) == (1, 2, 3)
    assert b.add("Call", x, function=0) == 1
    assert [(b.op(r), b.operands(r), b.attrs(r)) for r in rows[1:]] == [
        ("Item", (1,), (("index", 1),)),
        ("Item", (1,), (("index", 2),)),
    ]


@pytest.mark.parametrize(
    ("value", "dtype", "shape", "aval", "nbytes"),
    [
        (1.5, None, None, f8(), 8),
        (1, DType.FLOAT32, None, f4(), 4),
        (0, DType.FLOAT64, (N, 3), f8(N, 3), 8),
        (np.ones((3, 4)), None, None, f8(3, 4), 8),
        (np.arange(3.0), None, None, f8(3), 24),
        (np.array([0.0, -0.0]), None, None, f8(2), 16),
        (np.full(2, np.nan), None, None, f8(2), 8),
        (np.zeros((0, 2)), None, None, f8(0, 2), 0),
        (True, None, None, Aval(DType.BOOL), 1),
        (np.arange(4.0)[::2], None, None, f8(2), 16),
        (np.arange(2, dtype=">i8"), None, None, Aval(DType.INT64, (2,)), 16),
    ],
)
def test_constants(
    value: Any, dtype: DType | None, shape: Shape | None, aval: Aval, nbytes: int
) -> None:
    b = Builder()
    row = b.constant(value, dtype, shape)
    data = dict(b.attrs(row))["data"]
    assert isinstance(data, bytes)
    assert (b.aval(row), len(data)) == (aval, nbytes)
    found = constant_array(aval, data, 4)
    assert found.shape == aval.concrete(4).dims
    np.testing.assert_array_equal(found, np.broadcast_to(np.asarray(value), found.shape))
    assert np.signbit(found).tolist() == np.signbit(np.broadcast_to(value, found.shape)).tolist()


def test_a_large_constant_is_refused_with_the_cure() -> None:
    b = Builder()
    values = np.arange(MAX_CONSTANT_BYTES // 8 + 1, dtype=np.float64)
    b.constant(values[1:])
    with pytest.raises(ChainruleError, match="pass it as an argument or capture it") as caught:
        b.constant(values)
    assert caught.value.code is ErrorCode.CONSTANT_TOO_LARGE


def test_inputs_come_first_and_have_names_of_their_own() -> None:
    b = Builder()
    b.input("x", f8())
    with pytest.raises(ChainruleError, match="two inputs are called 'x'") as caught:
        b.input("x", f8())
    assert caught.value.code is ErrorCode.DUPLICATE_NAME
    b.add("Sin", 0)
    with pytest.raises(ChainruleError, match="input y after the first node") as caught:
        b.input("y", f8())
    assert caught.value.code is ErrorCode.INVALID_GRAPH


@pytest.mark.parametrize(("outputs", "names"), [((), ()), ((0, 0), ("a", "a")), ((0,), ("a", "b"))])
def test_outputs_need_names_of_their_own(outputs: tuple[int, ...], names: tuple[str, ...]) -> None:
    b = Builder()
    b.input("x", f8())
    with pytest.raises(ChainruleError) as caught:
        b.finish(outputs, names)
    assert caught.value.code is ErrorCode.DUPLICATE_NAME


def test_what_does_not_fit_leaves_no_row() -> None:
    b = Builder()
    x, y = b.input("x", f8(2)), b.input("y", f8(3))
    for op, inputs in (("Add", (x, y)), ("Sinn", (x,)), ("Sin", (x, y))):
        with pytest.raises(ChainruleError):
            b.add(op, *inputs)
    assert len(b) == 2


def test_labels_and_lines_are_those_of_the_first_maker() -> None:
    b = Builder()
    x = b.input("x", f8(BatchDim(2)))
    b.label, b.line = "h", "m.py:3"
    b.add("Sin", x)
    b.label, b.line = "again", "m.py:9"
    b.add("Sin", x)
    assert (b.debug().labels, b.debug().lines) == (("", "h"), ("", "m.py:3"))
