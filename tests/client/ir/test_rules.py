"""Shape rules of arithmetic, leaves, contraction, reduction and indexing: tables of results and refusals."""

from typing import Any

import pytest

from chainrule.errors import ChainruleError, ErrorCode
from chainrule.ir.avals import Aval, BatchDim, DType
from chainrule.ir.builder import Builder
from chainrule.ir.rules import axes_of, axis_of, broadcast, no_rule
from support.written import N, f4, f8, i8

N2 = BatchDim(2)
U4 = Aval(DType.UINT32, (2,))
BOOL = DType.BOOL


def b1(*shape: Any) -> Aval:
    return Aval(BOOL, shape)


def infer(op: str, avals: tuple[Aval, ...], **attrs: Any) -> Aval:
    b = Builder()
    rows = [b.input(f"x{i}", aval) for i, aval in enumerate(avals)]
    return b.aval(b.add(op, *rows, **attrs))


GIVEN: list[tuple[str, tuple[Aval, ...], dict[str, Any], Aval]] = [
    ("Neg", (i8(2),), {}, i8(2)),
    ("Abs", (f4(N),), {}, f4(N)),
    ("Exp", (f8(),), {}, f8()),
    ("Add", (f8(2, 1), f8(3)), {}, f8(2, 3)),
    ("Add", (f8(N, 1), f8(3)), {}, f8(N, 3)),
    ("Sub", (f8(), f8(N2)), {}, f8(N2)),
    ("Mul", (f8(0), f8(1)), {}, f8(0)),
    ("Less", (f8(2), f8()), {}, b1(2)),
    ("Equal", (b1(2), b1(2)), {}, b1(2)),
    ("And", (b1(2), b1()), {}, b1(2)),
    ("Xor", (i8(2), i8()), {}, i8(2)),
    ("Not", (b1(),), {}, b1()),
    ("Mod", (i8(2), i8(2)), {}, i8(2)),
    ("Where", (b1(2, 1), f8(), f8(3)), {}, f8(2, 3)),
    ("Cast", (f8(N),), {"dtype": BOOL}, b1(N)),
    ("IsFinite", (f4(3),), {}, b1(3)),
    ("IntPow", (i8(2),), {"n": 3}, i8(2)),
    ("StopGradient", (i8(N),), {}, i8(N)),
    ("Constant", (), {"dtype": BOOL, "shape": (N, 2), "data": b"\1"}, b1(N, 2)),
    ("Constant", (), {"dtype": BOOL, "shape": (2,), "data": b"\1\0"}, b1(2)),
    ("Constant", (), {"dtype": BOOL, "shape": (0,), "data": b""}, b1(0)),
    ("Iota", (), {"dtype": DType.INT64, "shape": (N, 3), "axis": -1}, i8(N, 3)),
    ("DimSize", (), {}, i8()),
    ("RandomBits", (U4, i8(N, 3)), {"stream": 4}, Aval(DType.UINT32, (N, 3))),
    ("MatMul", (f8(2, 3), f8(3, 4)), {}, f8(2, 4)),
    ("MatMul", (f8(N, 3), f8(3, 4)), {}, f8(N, 4)),
    ("MatMul", (f8(3, N), f8(N, 4)), {}, f8(3, 4)),
    ("MatMul", (f8(5, 1, 2, 3), f8(4, 3, 2)), {}, f8(5, 4, 2, 2)),
    ("MatMul", (f8(N, 2), f8(2, N)), {}, f8(N, N)),
    ("ReduceSum", (f8(2, 3, 4),), {"axes": (0, -1)}, f8(3)),
    ("ReduceSum", (f8(N, 0),), {"axes": (1,), "keepdims": True}, f8(N, 1)),
    ("ReduceSum", (f8(2),), {"axes": ()}, f8(2)),
    ("ReduceMax", (f8(0, 3),), {"axes": (1,)}, f8(0)),
    ("ReduceMax", (f8(N, 3),), {"axes": (0, 1)}, f8()),
    ("ArgMax", (f8(N, 3),), {"axis": -1}, i8(N)),
    ("Gather", (f8(5, 2), i8(N, 3)), {"axis": 0}, f8(N, 3, 2)),
    ("Gather", (f8(2, 5), i8()), {"axis": -1}, f8(2)),
    ("Gather", (f8(N, 5, 2), i8(N, 3)), {"axis": 1, "batch_dims": 1}, f8(N, 3, 2)),
    ("ScatterAdd", (i8(N, 3), f8(N, 3, 2)), {"axis": 0, "size": (5,)}, f8(5, 2)),
    (
        "ScatterAdd",
        (i8(N, 3), f8(N, 3, 2)),
        {"axis": 1, "batch_dims": 1, "size": (N2,)},
        f8(N, N2, 2),
    ),
]


@pytest.mark.parametrize(("op", "avals", "attrs", "want"), GIVEN)
def test_result(op: str, avals: tuple[Aval, ...], attrs: dict[str, Any], want: Aval) -> None:
    assert infer(op, avals, **attrs) == want


E = ErrorCode
REFUSED: list[tuple[str, tuple[Aval, ...], dict[str, Any], ErrorCode, str]] = [
    ("Exp", (i8(),), {}, E.DTYPE_MISMATCH, "int64 is no float dtype; cast it"),
    ("Neg", (b1(),), {}, E.DTYPE_MISMATCH, "no number"),
    ("Not", (i8(),), {}, E.DTYPE_MISMATCH, "no bool"),
    ("Mod", (f8(), f8()), {}, E.DTYPE_MISMATCH, "no integer"),
    ("And", (f8(), f8()), {}, E.DTYPE_MISMATCH, "no bits"),
    ("Div", (i8(), i8()), {}, E.DTYPE_MISMATCH, "no float"),
    ("Add", (f8(), f4()), {}, E.DTYPE_MISMATCH, "float64 and float32 meet; insert a Cast"),
    ("Add", (f8(2), f8(3)), {}, E.SHAPE_MISMATCH, "(2,) and (3,) don't broadcast: 2 against 3"),
    ("Add", (f8(N), f8(3)), {}, E.SHAPE_MISMATCH, "N against 3"),
    ("Add", (f8(N), f8(N2)), {}, E.SHAPE_MISMATCH, "N against 2N"),
    ("Add", (f8(2**30, 1), f8(2**30)), {}, E.TOO_LARGE, "2^60"),
    ("Where", (f8(), f8(), f8()), {}, E.DTYPE_MISMATCH, "no bool"),
    ("Where", (b1(), f8(), f4()), {}, E.DTYPE_MISMATCH, "meet"),
    ("IsFinite", (i8(),), {}, E.DTYPE_MISMATCH, "no float"),
    ("IntPow", (f8(),), {"n": 1025}, E.ATTR_RANGE, "1025"),
    ("Constant", (), {"dtype": BOOL, "shape": (3,), "data": b"12"}, E.BYTE_LENGTH, "of 2 bytes"),
    ("Constant", (), {"dtype": BOOL, "shape": (N,), "data": b"12"}, E.BYTE_LENGTH, "bool[N]"),
    ("Constant", (), {"dtype": BOOL, "shape": (-1,), "data": b"1"}, E.BAD_DIM, "-1"),
    ("Iota", (), {"dtype": BOOL, "shape": (3,), "axis": 0}, E.DTYPE_MISMATCH, "no number"),
    ("Iota", (), {"dtype": DType.INT64, "shape": (), "axis": 0}, E.BAD_AXIS, "0-d value"),
    ("DimSize", (), {"k": 0}, E.ATTR_RANGE, "k of DimSize is 0"),
    ("RandomBits", (i8(2), i8()), {}, E.DTYPE_MISMATCH, "a key is uint32[2]"),
    ("RandomBits", (U4, f8()), {}, E.DTYPE_MISMATCH, "a counter is int64"),
    ("MatMul", (f8(3), f8(3, 2)), {}, E.SHAPE_MISMATCH, "both need two axes"),
    ("MatMul", (f8(2, 3), f8(2, 3)), {}, E.SHAPE_MISMATCH, "inner axes 3 and 2 differ"),
    ("MatMul", (f8(2, N), f8(3, 2)), {}, E.SHAPE_MISMATCH, "inner axes N and 3 differ"),
    ("MatMul", (f8(2, 2, 3), f8(3, 3, 2)), {}, E.SHAPE_MISMATCH, "don't broadcast"),
    ("MatMul", (b1(2, 2), b1(2, 2)), {}, E.DTYPE_MISMATCH, "no number"),
    ("ReduceSum", (f8(2),), {"axes": (1,)}, E.BAD_AXIS, "give an axis from -1 to 0"),
    ("ReduceSum", (f8(2),), {"axes": (0, -1)}, E.BAD_AXIS, "name an axis twice"),
    ("ReduceSum", (b1(2),), {"axes": (0,)}, E.DTYPE_MISMATCH, "no number"),
    ("ReduceMax", (f8(0, 3),), {"axes": (0,)}, E.EMPTY_REDUCTION, "empty axis of (0, 3)"),
    ("ArgMax", (f8(3, 0),), {"axis": 1}, E.EMPTY_REDUCTION, "empty axis"),
    ("ArgMax", (f8(),), {"axis": 0}, E.BAD_AXIS, "0-d"),
    ("Gather", (f8(5), f8(2)), {"axis": 0}, E.DTYPE_MISMATCH, "indices are int64"),
    ("Gather", (f8(5), i8(2)), {"axis": 1}, E.BAD_AXIS, "axis 1"),
    ("Gather", (f8(2, 5), i8(3, 4)), {"axis": 1, "batch_dims": 1}, E.BAD_AXIS, "leading axes"),
    ("Gather", (f8(2, 5), i8(2, 4)), {"axis": 0, "batch_dims": 1}, E.BAD_AXIS, "batch_dims 1"),
    ("Gather", (f8(1, 5), i8(*[1] * 8)), {"axis": 0}, E.RANK_TOO_LARGE, "rank 9"),
    ("ScatterAdd", (i8(3), f8(3)), {"axis": 0, "size": (5, 5)}, E.BAD_AXIS, "size (5, 5)"),
    ("ScatterAdd", (i8(3), f8(3)), {"axis": -1, "size": (5,)}, E.BAD_AXIS, "axis -1"),
    ("ScatterAdd", (i8(3), f8(4)), {"axis": 0, "size": (5,)}, E.SHAPE_MISMATCH, "index wants"),
    ("ScatterAdd", (i8(3), b1(3)), {"axis": 0, "size": (5,)}, E.DTYPE_MISMATCH, "no number"),
]


@pytest.mark.parametrize(("op", "avals", "attrs", "code", "text"), REFUSED)
def test_refusal(
    op: str, avals: tuple[Aval, ...], attrs: dict[str, Any], code: ErrorCode, text: str
) -> None:
    with pytest.raises(ChainruleError) as caught:
        infer(op, avals, **attrs)
    assert caught.value.code is code
    assert text in str(caught.value)


def test_axes_are_counted_from_either_end() -> None:
    assert (axis_of(-1, 3), axis_of(0, 3), axes_of((-1, 0), 3)) == (2, 0, (2, 0))


def test_broadcast_is_numpys_with_n_as_one_more_length() -> None:
    assert broadcast((N, 1), (1, 3)) == (N, 3)
    assert broadcast((), (2, N)) == (2, N)
    assert broadcast((0,), (1,)) == (0,)


def test_rows_that_come_from_elsewhere_have_no_rule() -> None:
    with pytest.raises(ChainruleError, match="no shape rule of its own"):
        no_rule((), {})
